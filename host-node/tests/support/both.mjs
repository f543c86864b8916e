// Tests of both kinds of store, and their errors.
import assert from "node:assert/strict";
import test from "node:test";
import * as sessile from "../../dist/index.js";
import { scratch } from "./scratch.mjs";

/** Runs a test on a store in this thread, and on one in a thread of its own. */
export function both(name, act) {
  test(`${name} (this thread)`, async (t) => act(sessile.openStoreSync(scratch(t)), t));
  test(`${name} (a thread of its own)`, async (t) => {
    const store = await sessile.openStore(scratch(t));
    await act(store, t);
    await store.close();
  });
}

/** What a call ends with, whether it throws or rejects. */
export async function failed(act) {
  try {
    await act();
  } catch (error) {
    return error;
  }
  return assert.fail("no error");
}

/** Whether an error is of that class. */
export const of = (name) => (error) => error instanceof sessile[name] && error instanceof sessile.SessileError;
