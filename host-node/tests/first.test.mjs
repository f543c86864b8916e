import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { ClosedError, openStore, openStoreSync } from "../dist/index.js";

const root = mkdtempSync(join(tmpdir(), "sessile-"));
after(() => rmSync(root, { recursive: true }));

const message = (text) => ({ role: "user", parts: [{ type: "text", text }] });

test("a thousand calls in flight keep their order", async () => {
  const store = await openStore(join(root, "order"));
  const { id } = await store.create({});
  const texts = Array.from({ length: 1000 }, (_, number) => String(number));
  await Promise.all(texts.map((text) => store.append(id, message(text), { durability: "buffered" })));
  const page = await store.read(id, { from: 1, limit: 1000 });
  assert.deepEqual(page.messages.map(({ message }) => message.parts[0].text), texts);
  await store.close();
  await assert.rejects(store.get(id), ClosedError);
});

test("both entry points see one store", async () => {
  const sync = openStoreSync(join(root, "both"));
  const store = await openStore(join(root, "both"));
  const { id } = sync.create({ title: "both" });
  await store.append(id, message("from the thread"));
  assert.equal(sync.get(id).messageCount, 1);
  await store.close();
  sync.close();
  assert.throws(() => sync.get(id), ClosedError);
});
