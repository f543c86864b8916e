// What a call costs over the file operation that it contains: `npm run bench`. Medians of alternating runs, in the
// directory `--dir DIR` (default: the system's temporary directory; give one on the disk that is to be measured).
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStore, openStoreSync } from "../dist/index.js";

const at = process.argv.indexOf("--dir");
const directory = fs.mkdtempSync(join(at < 0 ? tmpdir() : process.argv[at + 1], "sessile-bench-"));
const message = (n) => ({ role: "user", parts: [{ type: "text", text: `${n} `.padEnd(2048 - 51, "x") }] });
const size = Buffer.byteLength(JSON.stringify(message(1)));

const now = () => performance.now();
const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const us = (ms) => `${(ms * 1000).toFixed(1)} us`;
const line = (what, value) => console.log(`${what.padEnd(66)} ${value}`);

async function timed(act) {
  const begin = now();
  await act();
  return now() - begin;
}

/** Runs all in turn, so that they meet the same machine. Returns the median time of each, in ms. */
async function alternating(rounds, acts) {
  const times = acts.map(() => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, act] of acts.entries()) times[index].push(await timed(() => act(round)));
  }
  return times.map(median);
}

const raw = fs.openSync(join(directory, "raw"), "a");
// As much as the store's own record, which is some bytes longer than the message.
const record = Buffer.alloc(size + 110, "x");
const store = openStoreSync(join(directory, "store"));
const thread = await openStore(join(directory, "store"));
store.create({ id: "s" });
store.create({ id: "t" });

const buffered = { durability: "buffered" };
const acts = [
  () => fs.writeSync(raw, record),
  (n) => store.append("s", message(n), buffered),
  (n) => thread.append("t", message(n), buffered),
];
await alternating(2000, acts);
const [rawWrite, append, threadAppend] = await alternating(5000, acts);
line(`buffered append of ${size} bytes, this thread`, `${us(append)}; over the raw write of ${us(rawWrite)}: ${us(append - rawWrite)}`);
line("the same in a thread of its own, one after the other", us(threadAppend));
const many = Array.from({ length: 1000 }, (_, n) => message(n));
const inFlight = await alternating(7, [() => Promise.all(many.map((one) => thread.append("t", one, buffered)))]);
line("the same with 1,000 in flight, each", us(inFlight[0] / 1000));

const [rawSync, synced, threadSynced] = await alternating(1000, [
  () => (fs.writeSync(raw, record), fs.fdatasyncSync(raw)),
  (n) => store.append("s", message(n)),
  (n) => thread.append("t", message(n)),
]);
const factor = (time) => `${us(time)}: ${(time / rawSync).toFixed(2)} times`;
line("raw write + fdatasync", us(rawSync));
line("durable append, this thread", factor(synced));
line("durable append, thread of its own", factor(threadSynced));

store.create({ id: "read" });
for (let n = 0; n < 5000; n += 1) store.append("read", message(n), buffered);
const all = { pageSize: 5000 };
const check = (count) => {
  if (count !== 5000) throw new Error(`${count} messages were read`);
};
const [read, threadRead, tail] = await alternating(15, [
  () => check([...store.messages("read", all)].length),
  async () => {
    let count = 0;
    for await (const { seq } of thread.messages("read", all)) count = seq;
    check(count);
  },
  () => store.read("read", { last: 50 }),
]);
line(`read 5,000 messages of ${size} bytes, this thread`, `${read.toFixed(1)} ms`);
line("the same in a thread of its own", `${threadRead.toFixed(1)} ms`);
line("read the last 50 of 5,000", us(tail));

const index = JSON.stringify(new URL("../dist/index.js", import.meta.url).href);
const path = JSON.stringify(join(directory, "small"));
const small = openStoreSync(join(directory, "small"));
small.create({ id: "s" });
for (let n = 0; n < 100; n += 1) small.append("s", message(n), buffered);
small.close();
const run = (code) => {
  const file = join(directory, "start.mjs");
  fs.writeFileSync(file, code);
  spawnSync(process.execPath, [file], { stdio: "inherit" });
};
const [nothing, sync, inThread] = await alternating(21, [
  () => run(""),
  () => run(`import { openStoreSync } from ${index}; openStoreSync(${path}).get("s");`),
  () => run(`import { openStore } from ${index}; await (await openStore(${path})).get("s");`),
]);
line("start of node alone", `${nothing.toFixed(1)} ms`);
line("open and get in a fresh process, this thread, over it", `${(sync - nothing).toFixed(1)} ms`);
line("open and get in a fresh process, thread of its own, over it", `${(inThread - nothing).toFixed(1)} ms`);

await thread.close();
store.close();
fs.rmSync(directory, { recursive: true });
