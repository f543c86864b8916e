// JavaScript can set no limit of memory: the module's own is the only one. What goes beyond it is an error, and the
// process and the store go on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { InternalError, openStoreSync } from "../dist/index.js";
import { scratch } from "./support/scratch.mjs";

test("what does not fit into the sandbox is an error and no crash", (t) => {
  const root = scratch(t);
  const store = openStoreSync(root);
  store.create({ id: "s" });
  const large = "x".repeat(400 << 20);
  assert.throws(() => store.create({ title: large, agent: large, model: large }), InternalError);
  assert.equal(store.get("s").id, "s");
  store.close();
  assert.equal(openStoreSync(root).get("s").id, "s");
});
