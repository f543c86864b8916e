// The files of a store on a real disk: what is refused, what is durable, and what an error does.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import system from "node:fs";
import * as fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";
import test from "node:test";
import { Disk, FsError, isWindowsDevice, textFrom } from "../dist/internal.js";
import { scratch } from "./support/scratch.mjs";

const LOG = "sessions/k/s-1.jsonl";
const unix = { skip: process.platform === "win32" && "only on Unix" };

const open = (root, options = {}) => new Disk(root, { readOnly: false, ...options });
const read = (disk, path = LOG) => Buffer.from(disk.readText(path, 0n, 1 << 20).data).toString();

/** The kind of error that something ends with. */
function kind(act) {
  try {
    act();
  } catch (error) {
    if (error instanceof FsError) return error.payload.kind;
    throw error;
  }
  return "no error";
}

const reads = (disk, path) => ({
  readText: kind(() => disk.readText(path, 0n, 9)),
  readBytes: kind(() => disk.readBytes(path, 0n, 9)),
  stat: kind(() => disk.stat(path)),
});
const operations = (disk, path) => ({
  append: kind(() => disk.append(path, "x", "buffered")),
  create: kind(() => disk.create(path, "x")),
  createBase64: kind(() => disk.createBase64(path, "AAAA")),
  replace: kind(() => disk.replace(path, "x")),
  ...reads(disk, path),
  remove: kind(() => disk.remove(path)),
  sync: kind(() => disk.sync(path)),
});
const all = (kinds, expected) => assert.deepEqual(new Set(Object.values(kinds)), new Set([expected]), JSON.stringify(kinds));

/** A disk that has a log. */
function diskWith(root, content, options) {
  open(root).create(LOG, content);
  return open(root, options);
}

test("files are written, read, listed and removed", (t) => {
  const disk = open(scratch(t));
  disk.create(LOG, "a\n");
  assert.equal(disk.append(LOG, "b\n", "buffered"), 4n);
  assert.equal(disk.append(LOG, "é\n", "synced"), 7n);
  disk.sync(LOG);
  assert.equal(disk.stat(LOG), 7n);
  assert.equal(read(disk), "a\nb\né\n");
  assert.deepEqual([...disk.readBytes(LOG, 4n, 2)], [0xc3, 0xa9]);
  disk.create("sessions/k/s-2", "");
  assert.deepEqual(disk.listFiles("sessions/k", "", 9), [{ name: "s-1.jsonl", size: 7n }, { name: "s-2", size: 0n }]);
  assert.deepEqual(disk.listFiles("sessions/k", "s-1.jsonl", 9).map(({ name }) => name), ["s-2"]);
  assert.equal(disk.listFiles("sessions/k", "", 1).length, 1);
  assert.deepEqual(disk.listFiles("nowhere", "", 9), []);
  disk.replace(LOG, "{}");
  assert.equal(read(disk), "{}");
  disk.remove(LOG);
  all({ ...reads(disk, LOG), append: kind(() => disk.append(LOG, "x", "synced")), remove: kind(() => disk.remove(LOG)) }, "not-found");
});

test("a file of any bytes is made of base64 and of nothing else", (t) => {
  const disk = open(scratch(t));
  const bytes = Uint8Array.from({ length: 257 }, (_, index) => index);
  disk.createBase64("attachments/a", Buffer.from(bytes).toString("base64"));
  disk.createBase64("attachments/empty", "");
  assert.deepEqual([...disk.readBytes("attachments/a", 0n, 999)], [...bytes]);
  assert.equal(disk.stat("attachments/empty"), 0n);
  assert.equal(kind(() => disk.createBase64("attachments/a", "AAAA")), "exists");
  for (const bad of ["A", "AA", "AB==", "AAA\n", "-_-_", "AAAA====", "é"]) {
    assert.equal(kind(() => disk.createBase64("attachments/b", bad)), "refused", bad);
  }
  assert.equal(kind(() => disk.stat("attachments/b")), "not-found");
});

test("what is created is complete, exclusive, and leaves nothing in tmp", (t) => {
  const root = scratch(t);
  const disk = diskWith(root, "first");
  assert.equal(kind(() => disk.create(LOG, "second")), "exists");
  assert.equal(read(disk), "first");
  assert.deepEqual(fs.readdirSync(join(root, "tmp")), []);
});

test("paths that the core never writes are refused", (t) => {
  const disk = open(scratch(t));
  for (const path of ["", ".", "..", "a/../b", "/etc/passwd", "a//b", "A", "a b", "a\0", "a/b/c/d", "x".repeat(65), "a\\b"]) {
    all(operations(disk, path), "refused");
  }
  for (const name of ["con", "nul.txt", "com1", "lpt9.jsonl", "a."]) assert.ok(isWindowsDevice(name), name);
  for (const name of ["c-1", "console", "com", "com10", "s-1.jsonl"]) assert.ok(!isWindowsDevice(name), name);
});

test("modes are private whatever the umask", unix, (t) => {
  const root = join(scratch(t), "inner/root");
  const umask = process.umask(0);
  open(root).create(LOG, "");
  process.umask(umask);
  const mode = (path) => fs.statSync(join(root, path)).mode & 0o7777;
  for (const directory of ["..", "", "sessions", "sessions/k", "tmp"]) assert.equal(mode(directory), 0o700, directory);
  assert.equal(mode(LOG), 0o600);
});

test("a root that others may write to is refused", unix, (t) => {
  const root = scratch(t);
  for (const mode of [0o777, 0o720, 0o702, 0o1777]) {
    fs.chmodSync(root, mode);
    assert.throws(() => open(root), /chmod go-w/);
    assert.throws(() => open(root, { readOnly: true }), /chmod go-w/);
  }
  fs.chmodSync(root, 0o755);
  open(root);
});

test("read-only, nothing is made or written", (t) => {
  const root = scratch(t);
  assert.equal(kind(() => open(join(root, "absent"), { readOnly: true })), "not-found");
  assert.deepEqual(fs.readdirSync(root), []);
  const disk = diskWith(root, "x\n", { readOnly: true });
  assert.equal(read(disk), "x\n");
  const { append, create, replace, remove, sync } = operations(disk, LOG);
  all({ append, create, replace, remove, sync }, "unavailable");
});

test("a FIFO is refused without waiting for it", unix, (t) => {
  const root = scratch(t);
  const disk = diskWith(root, "");
  fs.rmSync(join(root, LOG));
  execFileSync("mkfifo", [join(root, LOG)]);
  all(operations(disk, LOG), "refused");
  assert.deepEqual(disk.listFiles("sessions/k", "", 9), []);
  assert.equal(kind(() => open(join(root, LOG))), "refused");
});

test("a socket and a directory are refused", unix, async (t) => {
  const root = scratch(t);
  const disk = open(root);
  const server = createServer().listen(join(root, "socket"));
  await new Promise((resolve) => server.once("listening", resolve));
  fs.mkdirSync(join(root, "directory"));
  for (const path of ["socket", "directory"]) {
    all(operations(disk, path), "refused");
    assert.ok(fs.existsSync(join(root, path)));
  }
  server.close();
});

test("a symbolic link is refused wherever it leads", unix, (t) => {
  const root = scratch(t);
  const outside = join(scratch(t), "victim");
  fs.writeFileSync(outside, "secret");
  const disk = open(root);
  disk.create("sessions/k/s-2", "own");
  for (const target of [outside, join(root, "sessions/k/s-2"), "nowhere", "s-1.jsonl"]) {
    fs.symlinkSync(target, join(root, LOG));
    all(operations(disk, LOG), "refused");
    assert.equal(fs.readlinkSync(join(root, LOG)), target);
    assert.equal(disk.listFiles("sessions/k", "", 9).length, 1);
    fs.rmSync(join(root, LOG));
  }
  assert.equal(fs.readFileSync(outside, "utf8"), "secret");
});

test("a symbolic link to a directory is refused on every level, and a root may be reached through one", unix, (t) => {
  const root = scratch(t);
  const outside = scratch(t);
  open(outside).create("k/s-1.jsonl", "secret");
  const disk = open(root);
  fs.symlinkSync(outside, join(root, "sessions"));
  all(operations(disk, LOG), "refused");
  assert.equal(kind(() => disk.listFiles("sessions/k", "", 9)), "refused");
  fs.rmSync(join(root, "sessions"));
  // Also where the directory was used before.
  disk.create(LOG, "own");
  fs.renameSync(join(root, "sessions/k"), join(root, "sessions/j"));
  fs.symlinkSync(join(outside, "k"), join(root, "sessions/k"));
  all(operations(disk, LOG), "refused");
  fs.rmSync(join(root, "tmp"), { recursive: true });
  fs.symlinkSync(outside, join(root, "tmp"));
  assert.equal(kind(() => disk.create("sessile.json", "{}")), "refused");
  fs.symlinkSync(outside, join(root, "link"));
  assert.equal(open(join(root, "link")).stat("k/s-1.jsonl"), 6n);
});

test("a hard link is refused, also one made while the file is open", unix, (t) => {
  const root = scratch(t);
  const other = join(root, "other-name");
  const disk = diskWith(root, "");
  disk.append(LOG, "1", "buffered");
  fs.linkSync(join(root, LOG), other);
  assert.equal(disk.append(LOG, "2", "buffered"), 2n);
  all(operations(disk, LOG), "refused");
  all(reads(open(root, { readOnly: true }), LOG), "refused");
  assert.equal(fs.readFileSync(other, "utf8"), "12");
});

test("a second name that a crash left in tmp is unlinked, and excuses no third", unix, (t) => {
  for (const operation of ["stat", "append", "readBytes", "remove"]) {
    const root = scratch(t);
    diskWith(root, "x\n");
    fs.linkSync(join(root, LOG), join(root, "tmp", "0".repeat(32)));
    fs.writeFileSync(join(root, "tmp", "1".repeat(32)), "of another writer");
    // Who may only read uses the file, and leaves the name.
    assert.equal(read(open(root, { readOnly: true })), "x\n");
    assert.equal(fs.readdirSync(join(root, "tmp")).length, 2);
    assert.equal(operations(open(root), LOG)[operation], "no error");
    assert.deepEqual(fs.readdirSync(join(root, "tmp")), ["1".repeat(32)]);
  }
  const root = scratch(t);
  const disk = diskWith(root, "x");
  fs.linkSync(join(root, LOG), join(root, "tmp", "0".repeat(32)));
  fs.linkSync(join(root, LOG), join(root, "third"));
  assert.equal(kind(() => disk.stat(LOG)), "refused");
});

test("leftovers in tmp are swept when they are old", (t) => {
  const root = scratch(t);
  diskWith(root, "");
  const old = new Date(Date.now() - 25 * 3600 * 1000);
  for (const name of ["0".repeat(32), "1".repeat(32), "not-ours"]) fs.writeFileSync(join(root, "tmp", name), "");
  for (const name of ["0".repeat(32), "not-ours"]) fs.utimesSync(join(root, "tmp", name), old, old);
  open(root).create("s-2", "");
  assert.deepEqual(fs.readdirSync(join(root, "tmp")).sort(), ["1".repeat(32), "not-ours"]);
});

test("an append follows the name to a new file", (t) => {
  const root = scratch(t);
  const [disk, other] = [diskWith(root, "old\n"), open(root)];
  disk.append(LOG, "x\n", "buffered");
  other.remove(LOG);
  other.create(LOG, "new\n");
  assert.equal(disk.append(LOG, "y\n", "synced"), 6n);
  assert.equal(read(disk), "new\ny\n");
  other.replace(LOG, "");
  disk.sync(LOG);
  assert.equal(disk.append(LOG, "z\n", "synced"), 2n);
});

test("descriptors for appending are bounded, and none is closed before its appends are synced", unix, (t) => {
  const root = scratch(t);
  let synced = 0;
  const disk = open(root, { seam: { syncData: (fd) => ((synced += 1), fs.fdatasyncSync(fd)) } });
  const count = () => (fs.existsSync("/proc/self/fd") ? fs.readdirSync("/proc/self/fd").length : 0);
  const before = count();
  for (let file = 0; file < 100; file += 1) {
    disk.create(`sessions/k/d-${file}`, "");
    disk.append(`sessions/k/d-${file}`, "x", "buffered");
  }
  assert.ok(count() - before <= 40, `${count() - before} descriptors`);
  assert.equal(synced, 100 - 32);
  disk.dispose();
  assert.equal(count(), before);
});

test("an error of a close says nothing: what matters was synced before", (t) => {
  const disk = open(scratch(t));
  const { closeSync } = system;
  system.closeSync = (fd) => {
    closeSync(fd);
    throw Object.assign(new Error("EIO: i/o error, close"), { code: "EIO" });
  };
  syncBuiltinESMExports();
  t.after(() => {
    system.closeSync = closeSync;
    syncBuiltinESMExports();
  });
  disk.create(LOG, "a\n");
  disk.append(LOG, "b\n", "synced");
  assert.equal(read(disk), "a\nb\n");
  disk.remove(LOG);
});

test("an interrupted read is made again", (t) => {
  const disk = open(scratch(t));
  disk.create(LOG, "a\n");
  const { readSync } = system;
  let interrupted = 0;
  system.readSync = (...args) => {
    interrupted += 1;
    if (interrupted > 1) return readSync(...args);
    throw Object.assign(new Error("EINTR: interrupted system call, read"), { code: "EINTR" });
  };
  syncBuiltinESMExports();
  t.after(() => {
    system.readSync = readSync;
    syncBuiltinESMExports();
  });
  assert.equal(read(disk), "a\n");
  assert.equal(interrupted, 2);
});

test("a failed sync closes the disk for writing alone, and says so once", (t) => {
  for (const operation of ["append", "sync", "create", "directory"]) {
    const root = scratch(t);
    diskWith(root, "x\n");
    let poisoned = 0;
    const fail = () => {
      throw Object.assign(new Error("EIO: i/o error, fsync"), { code: "EIO", errno: -5 });
    };
    const seam = operation === "directory" || operation === "create" ? { syncAll: fail } : { syncData: fail };
    const disk = open(root, { seam, onPoison: () => (poisoned += 1) });
    const act = {
      append: () => disk.append(LOG, "y\n", "synced"),
      sync: () => disk.sync(LOG),
      create: () => disk.create("s-2", ""),
      // The first synced append to a file that another has created makes its name durable too.
      directory: () => disk.append(LOG, "y\n", "synced"),
    }[operation];
    assert.throws(act, /^Error: cannot sync `.+`: .*\(EIO\); check the disk and open the store again$/);
    const { append, create, replace, remove, sync } = operations(disk, LOG);
    all({ append, create, replace, remove, sync }, "closed");
    assert.match(read(disk), /^x\n/);
    assert.equal(poisoned, 1);
    all({ append: kind(() => open(root, { isPoisoned: true }).append(LOG, "z", "buffered")) }, "closed");
    assert.equal(kind(() => open(root).append(LOG, "z\n", "synced")), "no error");
  }
});

test("a short write is not continued", (t) => {
  const root = scratch(t);
  let isShort = true;
  const write = (fd, bytes) => fs.writeSync(fd, isShort ? bytes.subarray(0, 2) : bytes);
  const disk = diskWith(root, "", { seam: { write } });
  assert.throws(() => disk.append(LOG, "12345\n", "buffered"), /only 2 of 6 bytes were written; free space and retry/);
  assert.equal(kind(() => disk.append(LOG, "12345\n", "buffered")), "unavailable");
  isShort = false;
  assert.equal(disk.append(LOG, "x\n", "synced"), 6n);
});

test("a limit of file sizes is unavailable, and what is there stays", unix, (t) => {
  const root = scratch(t);
  diskWith(root, "x\n");
  const code = `
    import { Disk } from ${JSON.stringify(new URL("../dist/internal.js", import.meta.url).href)};
    const disk = new Disk(${JSON.stringify(root)}, { readOnly: false });
    try { disk.append(${JSON.stringify(LOG)}, "y".repeat(20_000), "synced"); } catch (error) { console.log(error.payload.kind); }
    try { disk.append(${JSON.stringify(LOG)}, "y", "synced"); } catch (error) { console.log(error.message); }`;
  const command = `ulimit -f 8; exec "$0" --input-type=module --eval "$1"`;
  const { stdout, stderr } = spawnSync("bash", ["-c", command, process.execPath, code], { encoding: "utf8" });
  assert.match(stdout, /^unavailable\ncannot append to `.+`: .*\(EFBIG\); raise the limit of file sizes and retry\n$/, stderr);
  assert.equal(fs.readFileSync(join(root, LOG), "utf8").slice(0, 3), "x\ny");
});

test("errors name the file and the way out", (t) => {
  const root = scratch(t);
  const disk = diskWith(root, "x");
  assert.throws(() => disk.stat("s-2"), /cannot look at `s-2`: no such file or directory \(ENOENT\); check whether it was removed/);
  disk.append(LOG, "y", "buffered");
  fs.rmSync(join(root, LOG));
  assert.throws(() => disk.append(LOG, "y", "buffered"), /check whether it was removed/);
  fs.writeFileSync(join(root, LOG), Buffer.from([0x61, 0xff]));
  assert.throws(() => disk.readText(LOG, 0n, 9), /`sessions\/k\/s-1.jsonl` is not UTF-8 at byte 1; read it as bytes/);
});

test("concurrent appends never interleave", async (t) => {
  const root = scratch(t);
  diskWith(root, "");
  const code = (letter) => `
    import { Disk } from ${JSON.stringify(new URL("../dist/internal.js", import.meta.url).href)};
    const disk = new Disk(${JSON.stringify(root)}, { readOnly: false });
    for (let n = 0; n < 300; n += 1) disk.append(${JSON.stringify(LOG)}, "${letter}".repeat(1 + (n * 37) % 5000) + "\\n", "buffered");`;
  const { spawn } = await import("node:child_process");
  const run = (letter) =>
    new Promise((resolve) => spawn(process.execPath, ["--input-type=module", "--eval", code(letter)]).on("exit", resolve));
  assert.deepEqual(await Promise.all(["a", "b", "c"].map(run)), [0, 0, 0]);
  const lines = fs.readFileSync(join(root, LOG), "utf8").split("\n");
  assert.equal(lines.length, 901);
  for (const line of lines) assert.match(line, /^(a+|b+|c+|)$/);
});

test("every piece of a text is as the contract says", () => {
  const bytes = Buffer.from("aé\n€𝄞b\n\0é𝄞𝄞");
  const isStart = (at) => at >= bytes.length || (bytes[at] & 0xc0) !== 0x80;
  for (let offset = 0; offset <= bytes.length; offset += 1) {
    for (let limit = 0; limit <= bytes.length - offset; limit += 1) {
      const piece = bytes.subarray(offset, offset + limit);
      const text = textFrom(piece, offset, offset + limit === bytes.length);
      const where = `${offset} ${limit}`;
      assert.equal(typeof text, "object", where);
      let start = offset;
      while (start < offset + limit && !isStart(start)) start += 1;
      const newline = bytes.subarray(start, offset + limit).lastIndexOf(10);
      let end = newline < 0 ? offset + limit : start + newline + 1;
      while (end > start && !isStart(end)) end -= 1;
      assert.equal(text.start, start, where);
      assert.deepEqual(text.data, bytes.subarray(start, end), where);
    }
  }
});

test("bytes that are not UTF-8 are found where a strict decoder finds them", () => {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const alphabet = [0x61, 0x0a, 0x80, 0xbf, 0xc0, 0xc2, 0xe0, 0xa0, 0xed, 0x9f, 0xf0, 0x90, 0xf4, 0x8f, 0xf5, 0xff];
  const isText = (piece) => {
    try {
      strict.decode(piece);
      return true;
    } catch {
      return false;
    }
  };
  let seed = 7;
  for (let round = 0; round < 20_000; round += 1) {
    const bytes = Buffer.from(
      Array.from({ length: 1 + (round % 6) }, () => alphabet[(seed = (seed * 1103515245 + 12345) & 0x7fffffff) >> 8 & 15]),
    );
    const newline = bytes.lastIndexOf(10);
    const piece = newline < 0 ? bytes : bytes.subarray(0, newline + 1);
    const whole = textFrom(bytes, 0, true);
    assert.equal(typeof whole === "object", isText(piece), bytes.toString("hex"));
    if (typeof whole === "number") {
      assert.ok(isText(bytes.subarray(0, whole)), bytes.toString("hex"));
      const cut = textFrom(bytes, 0, false);
      // A piece that is cut in a character is text up to it; anything else stays an error.
      if (typeof cut === "object") assert.deepEqual(cut.data, bytes.subarray(0, whole), bytes.toString("hex"));
    }
  }
  for (const [hex, isCut] of [["61e282", true], ["61e080", false], ["61f09d84", true], ["61ff", false], ["61eda0", false], ["61c2", true]]) {
    assert.equal(typeof textFrom(Buffer.from(hex, "hex"), 0, false) === "object", isCut, hex);
  }
});
