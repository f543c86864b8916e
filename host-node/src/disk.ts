/**
 * A store's files on a local disk: what the component imports as `filesystem`. The only file here that does I/O.
 *
 * It keeps the promises of `wit/filesystem.wit` as the Rust host's `disk.rs` does, with the same order of writes and
 * syncs. Where Node has less:
 * - There is no `openat`. The root is resolved once, the directories below it are checked to be directories and not
 *   links before each use, and no link is followed at the end of a path. They have mode 0700, so that nobody else can
 *   swap them between the check and the use.
 * - There is no `renameat2`. A new file is linked to its name and then loses the temporary one.
 * - There is no `fadvise`. After a failed sync a reader in this process may see pages that the disk never took;
 *   nothing is written any more, and another process reads what the disk has once they are dropped.
 * - On Windows directories cannot be synced, and owners and modes are not checked. It has not been run there.
 *
 * On Apple systems libuv makes `fsync` and `fdatasync` an `F_FULLFSYNC`, and where the file system does not know that
 * an `F_BARRIERFSYNC` or a plain `fsync`. libuv opens every file close-on-exec and repeats what a signal interrupts;
 * Node keeps the descriptors 0 to 2 occupied, so that no stray print can land in a session.
 */
import { isUtf8 } from "node:buffer";
import * as fs from "node:fs";
import { dirname, join, resolve } from "node:path";
import { getSystemErrorMap } from "node:util";
import { random } from "./random.js";

/** What the store does next: the kinds of `wit/filesystem.wit`. */
export type FsErrorKind = "not-found" | "exists" | "not-text" | "refused" | "unavailable" | "closed";

/** An error of the file system. Only its payload crosses into the component. */
export class FsError extends Error {
  readonly payload: { readonly kind: FsErrorKind; readonly message: string };

  constructor(kind: FsErrorKind, message: string) {
    super(message);
    this.payload = { kind, message };
  }
}

export type Durability = "buffered" | "synced";

/** The calls that tests make fail. */
export interface Seam {
  write(fd: number, bytes: Uint8Array): number;
  syncData(fd: number): void;
  syncAll(fd: number): void;
}

export interface DiskOptions {
  readonly readOnly: boolean;
  /** Whether an earlier disk of this store has had a failed sync: this one then writes nothing either. */
  readonly isPoisoned?: boolean;
  /** Called once when a sync fails. */
  readonly onPoison?: () => void;
  readonly seam?: Partial<Seam>;
}

interface Appender {
  readonly fd: number;
  /** Whether appends through this descriptor await a sync. */
  isDirty: boolean;
  /** Whether the file's name is known to survive power loss. */
  isNamed: boolean;
  /** Whether it was opened by an earlier call, so that the path may name another file by now. */
  isKept: boolean;
}

const PATH_NAMES_MAX = 3;
const NAME_BYTES_MAX = 64;
/** Most descriptors kept open for appending. */
const APPENDERS_MAX = 32;
/** At most this many names of files are remembered as durable. */
const NAMED_MAX = 1000;
/** The directory of files that have no name of their own yet. The core does not know it. */
const TEMPORARY = "tmp";
/** A temporary file this old belongs to a process that died. */
const TEMPORARY_AGE_MAX_MS = 24 * 60 * 60 * 1000;
/** How long to wait for a virus scanner or an indexer to let go of a file. */
const PATIENCE_MAX_MS = 5000;

const DIRECTORY_MODE = 0o700;
const FILE_MODE = 0o600;

const IS_WINDOWS = process.platform === "win32";
/**
 * A descriptor tells when its file has lost its name, so it can be used again without a look at the path. Windows does
 * not let a name go while a descriptor is open, and tells nothing.
 */
const KEEPS_DESCRIPTORS = !IS_WINDOWS;

/** Windows has none of these. */
const flag = (name: "O_NOFOLLOW" | "O_NONBLOCK" | "O_NOCTTY" | "O_DIRECTORY") =>
  (fs.constants as Partial<Record<string, number>>)[name] ?? 0;
/** No link is followed, no FIFO is waited on, no terminal is acquired. */
const CAREFUL = flag("O_NOFOLLOW") | flag("O_NONBLOCK") | flag("O_NOCTTY");
const READ = fs.constants.O_RDONLY | CAREFUL;
const APPEND = fs.constants.O_WRONLY | fs.constants.O_APPEND | CAREFUL;
const CREATE = fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL | CAREFUL;
const READ_DIRECTORY = fs.constants.O_RDONLY | flag("O_DIRECTORY") | flag("O_NOFOLLOW");

const NOT_REGULAR = "it is not a regular file";

/** Files below one root. Its methods are the functions of `wit/filesystem.wit`, in the form that the component calls. */
export class Disk {
  readonly #root: string;
  readonly #options: DiskOptions;
  readonly #native: Seam;
  #isPoisoned: boolean;
  #isSwept = false;
  /** The most recently used stands last. */
  readonly #appenders = new Map<string, Appender>();
  /** Files whose names this process has made durable itself. */
  readonly #named = new Set<string>();

  /**
   * Opens the directory `root`, which for writing is created (0700, with its parents) if absent. A link at `root`
   * itself is followed: whoever names the root decides where it lies.
   *
   * Errors: `refused` where it is not a directory, belongs to another user, or may be written by group or others;
   * `not-found` where it is absent and is not to be created; `unavailable` otherwise.
   */
  constructor(root: string, options: DiskOptions) {
    this.#options = options;
    this.#native = { write: fs.writeSync, syncData: fs.fdatasyncSync, syncAll: fs.fsyncSync, ...options.seam };
    this.#isPoisoned = options.isPoisoned ?? false;
    // Escaped, as nothing is known about the characters in it.
    const shown = JSON.stringify(root).slice(1, -1);
    const doing = "open the store directory";
    // Absolute, so that a change of the working directory does not move the store.
    this.#root = attempt(doing, shown, () => {
      try {
        return fs.realpathSync.native(root);
      } catch (error) {
        if (options.readOnly || codeOf(error) !== "ENOENT") throw error;
        this.#makeRoot(resolve(root));
        return fs.realpathSync.native(root);
      }
    });
    const stats = attempt(doing, shown, () => fs.statSync(this.#root));
    const reason = reasonToRefuse(stats, options.readOnly);
    if (reason !== undefined) {
      throw new FsError("refused", `refused to use the store directory \`${shown}\`: ${reason}`);
    }
  }

  /** Closes all descriptors. Nothing is synced by it. */
  dispose(): void {
    for (const path of [...this.#appenders.keys()]) this.#forgetAppender(path);
  }

  append(path: string, data: string | Uint8Array, durability: Durability): bigint {
    this.#checkWrite(path);
    const bytes = typeof data === "string" ? Buffer.from(data, "utf8") : data;
    for (;;) {
      const appender = this.#takeAppender(path);
      let stats: fs.Stats;
      try {
        this.#writeOnce(appender.fd, bytes);
        // The size is taken before the sync, so that all of it is on the disk when the sync returns.
        stats = fs.fstatSync(appender.fd);
      } catch (error) {
        this.#retire(appender, path);
        throw failure("append to", path, error);
      }
      if (stats.nlink === 0) {
        close(appender.fd);
        // The bytes went to a file without a name, where nobody sees them. If another file has the name by now, that
        // is the one to append to; if none has, opening it says so.
        if (appender.isKept) continue;
        throw absence(path);
      }
      if (durability === "synced") this.#syncAppender(appender, path);
      else appender.isDirty = true;
      // Where somebody has linked it meanwhile the next append opens it anew, and decides.
      if (stats.nlink === 1) this.#keep(appender, path);
      else this.#retire(appender, path);
      return BigInt(stats.size);
    }
  }

  create(path: string, data: string | Uint8Array): void {
    this.#checkWrite(path);
    if (this.#sizeIfThere(path) !== undefined) throw exists(path);
    this.#place(path, data, "new");
    if (this.#named.size >= NAMED_MAX) this.#named.clear();
    this.#named.add(path);
  }

  createBase64(path: string, data: string): void {
    const bytes = Buffer.from(data, "base64");
    // Node's decoder leaves out what is no base64, and would make another file of it.
    if (bytes.toString("base64") !== data) throw new FsError("refused", `\`${path}\` is not given in base64`);
    this.create(path, bytes);
  }

  replace(path: string, data: string): void {
    this.#checkWrite(path);
    this.#sizeIfThere(path);
    this.#place(path, data, "over");
  }

  /** The text stays UTF-8: nobody here needs it as a string. */
  readText(path: string, offset: bigint, limit: number): { start: bigint; data: Uint8Array } {
    const [bytes, reachesEnd] = this.#read(path, Number(offset), limit);
    const text = textFrom(bytes, Number(offset), reachesEnd);
    if (typeof text === "number") {
      throw new FsError("not-text", `\`${path}\` is not UTF-8 at byte ${text}; read it as bytes`);
    }
    return { start: BigInt(text.start), data: text.data };
  }

  readBytes(path: string, offset: bigint, limit: number): Uint8Array {
    return this.#read(path, Number(offset), limit)[0];
  }

  stat(path: string): bigint {
    checkPath(path, PATH_NAMES_MAX);
    return BigInt(this.#look(path).size);
  }

  listFiles(directory: string, after: string, limit: number): { name: string; size: bigint }[] {
    checkPath(directory, PATH_NAMES_MAX - 1);
    const entries: { name: string; size: bigint }[] = [];
    let place: string;
    let names: string[];
    try {
      place = this.#directory(directory, "fail");
      names = namesIn(place);
    } catch (error) {
      if (isAbsence(error)) return entries;
      throw failure("list", directory, error);
    }
    // Sizes are asked for one by one until the page is full, so that a page is short only at the end.
    for (const name of names.filter((name) => name > after && isName(name)).sort()) {
      if (entries.length === limit) break;
      const stats = attempt("list", directory, () => lstat(join(place, name)));
      if (stats?.isFile()) entries.push({ name, size: BigInt(stats.size) });
    }
    return entries;
  }

  remove(path: string): void {
    this.#checkWrite(path);
    this.#look(path);
    const [directory, name] = split(path);
    const place = this.#directory(directory, "fail");
    attempt("remove", path, () => patiently(() => fs.unlinkSync(join(place, name))));
    this.#forgetAppender(path);
    this.#named.delete(path);
    this.#syncName(place, name, path);
  }

  sync(path: string): void {
    this.#checkWrite(path);
    for (;;) {
      const appender = this.#takeAppender(path);
      if (linksOf(appender.fd) === 0) {
        close(appender.fd);
        if (appender.isKept) continue;
        throw absence(path);
      }
      this.#syncAppender(appender, path);
      this.#keep(appender, path);
      return;
    }
  }

  #mayWrite(): boolean {
    return !this.#options.readOnly && !this.#isPoisoned;
  }

  #checkWrite(path: string): void {
    // A path that has a descriptor was checked when that was opened.
    if (!this.#appenders.has(path)) checkPath(path, PATH_NAMES_MAX);
    if (this.#options.readOnly) {
      throw new FsError("unavailable", `cannot write \`${path}\`: opened read-only; open the store for writing`);
    }
    if (this.#isPoisoned) {
      const reason = "an earlier sync failed; check the disk and open the store again";
      throw new FsError("closed", `cannot write \`${path}\`: ${reason}`);
    }
  }

  /** Makes the directory at `path` and its parents, durably. */
  #makeRoot(path: string): void {
    const parent = dirname(path);
    const make = () => fs.mkdirSync(path, DIRECTORY_MODE);
    try {
      try {
        make();
      } catch (error) {
        if (codeOf(error) !== "ENOENT" || parent === path) throw error;
        this.#makeRoot(parent);
        make();
      }
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
      // Another process was faster, and may not have come to the sync.
      this.#syncDirectory(parent);
      return;
    }
    try {
      this.#syncDirectory(parent);
    } catch (error) {
      // Whoever tries again must not find it and take it for durable.
      quietly(() => fs.rmdirSync(path));
      throw error;
    }
  }

  /** Returns where the directory `path` is. What "make" has to make is durable before anything is put in it. */
  #directory(path: string, missing: "fail" | "make"): string {
    let place = this.#root;
    if (path === "") return place;
    for (const name of path.split("/")) {
      const parent = place;
      place = join(parent, name);
      let stats = attempt("open the directory", path, () => lstat(place));
      if (stats === undefined && missing === "make") {
        attempt("open the directory", path, () => makeDirectory(place));
        this.#syncName(parent, name, path);
        stats = attempt("open the directory", path, () => lstat(place));
      }
      if (stats === undefined) throw failure("open the directory", path, { code: "ENOENT" });
      if (!stats.isDirectory()) throw failure("open the directory", path, { code: "ENOTDIR" });
    }
    return place;
  }

  #openFile(path: string, flags: number): [fd: number, stats: fs.Stats] {
    const [directory, name] = split(path);
    const place = join(this.#directory(directory, "fail"), name);
    let fd: number;
    try {
      // Where nothing guards the end of the path it is looked at first.
      if (IS_WINDOWS && isForeign(place)) throw refusal(path, NOT_REGULAR);
      fd = patiently(() => fs.openSync(place, flags));
    } catch (error) {
      // Systems have many words for a link, a socket or a device that was not opened.
      if (isForeign(place)) throw refusal(path, NOT_REGULAR);
      throw failure("open", path, error);
    }
    try {
      return [fd, this.#admit(path, () => fs.fstatSync(fd))];
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** Returns what the system says of the file at `path` without opening it. */
  #look(path: string): fs.Stats {
    const [directory, name] = split(path);
    const place = join(this.#directory(directory, "fail"), name);
    return this.#admit(path, () => fs.lstatSync(place));
  }

  #sizeIfThere(path: string): number | undefined {
    try {
      return this.#look(path).size;
    } catch (error) {
      if (isAbsence(error)) return undefined;
      throw error;
    }
  }

  /**
   * Refuses all but a regular file with a single name: through a second one, others could change it from outside.
   *
   * A second name in `tmp` is ours: between the link to its name and the loss of the temporary one a crash can leave
   * both.
   */
  #admit(path: string, look: () => fs.Stats): fs.Stats {
    const stats = attempt("look at", path, look);
    if (!stats.isFile()) throw refusal(path, NOT_REGULAR);
    if (stats.nlink <= 1) return stats;
    if (stats.nlink - this.#unlinkLeftovers(stats) <= 1) return stats;
    // Its creator may have unlinked the temporary name between the two looks.
    const again = attempt("look at", path, look);
    if (again.nlink <= 1) return again;
    throw refusal(path, "it is a hard link");
  }

  /** Returns how many names in `tmp` belong to a file, and unlinks them where this host may write. */
  #unlinkLeftovers(file: fs.Stats): number {
    let leftovers = 0;
    quietly(() => {
      const place = this.#directory(TEMPORARY, "fail");
      for (const name of namesIn(place)) {
        const stats = lstat(join(place, name));
        if (stats?.ino !== file.ino || stats.dev !== file.dev) continue;
        leftovers += 1;
        // Where it fails the file is good all the same, and the next to meet it tries again.
        if (this.#mayWrite()) quietly(() => fs.unlinkSync(join(place, name)));
      }
    });
    return leftovers;
  }

  /** Returns a descriptor for appending to `path`: the kept one, taken out of the cache, or a new one. */
  #takeAppender(path: string): Appender {
    const kept = this.#appenders.get(path);
    if (kept !== undefined) {
      this.#appenders.delete(path);
      kept.isKept = true;
      return kept;
    }
    if (this.#appenders.size >= APPENDERS_MAX) {
      // Clean ones go first, as they go for nothing.
      const all = [...this.#appenders];
      const oldest = all.find(([, appender]) => !appender.isDirty) ?? all[0];
      if (oldest !== undefined) {
        this.#appenders.delete(oldest[0]);
        this.#retire(oldest[1], oldest[0]);
      }
    }
    const [fd] = this.#openFile(path, APPEND);
    return { fd, isDirty: false, isNamed: this.#named.has(path), isKept: false };
  }

  #keep(appender: Appender, path: string): void {
    if (KEEPS_DESCRIPTORS) this.#appenders.set(path, appender);
    else this.#retire(appender, path);
  }

  /**
   * Closes a descriptor without losing sight of its appends.
   *
   * The operating system tells of a failed write-back only those who have the file open. If a dirty descriptor were
   * just closed, a later sync through a new one could succeed although the appends are lost. Windows has no such
   * memory, and there descriptors are not kept.
   */
  #retire(appender: Appender, path: string): void {
    if (appender.isDirty && KEEPS_DESCRIPTORS) this.#syncAppender(appender, path);
    close(appender.fd);
  }

  /** Closes the descriptor of a file that has lost its name, so that its space is free again. */
  #forgetAppender(path: string): void {
    const appender = this.#appenders.get(path);
    if (appender === undefined) return;
    this.#appenders.delete(path);
    close(appender.fd);
  }

  /**
   * Makes all appends to a file durable, and the file's name with them. Closes the descriptor where that fails.
   *
   * Whoever created the file may have been killed before its directory was synced: then the name lives in memory
   * alone, and everything that is appended would be lost with it.
   */
  #syncAppender(appender: Appender, path: string): void {
    try {
      this.#poisonOnError(path, () => this.#native.syncData(appender.fd));
      if (!appender.isNamed) {
        const [directory, name] = split(path);
        this.#syncName(this.#directory(directory, "fail"), name, path);
        appender.isNamed = true;
      }
    } catch (error) {
      close(appender.fd);
      throw error;
    }
    appender.isDirty = false;
  }

  /** Makes it durable that `name` is in the directory `place`, or that it is not. */
  #syncName(place: string, name: string, path: string): void {
    this.#poisonOnError(path, () => {
      if (!IS_WINDOWS) return this.#syncDirectory(place);
      // A sync of the file after it got its name is the nearest: NTFS keeps names with the file, and writes the
      // journal up to that point.
      if (lstat(join(place, name))?.isFile() !== true) return;
      const fd = patiently(() => fs.openSync(join(place, name), "r+"));
      try {
        this.#native.syncAll(fd);
      } finally {
        close(fd);
      }
    });
  }

  #syncDirectory(place: string): void {
    if (IS_WINDOWS) return;
    const fd = fs.openSync(place, READ_DIRECTORY);
    try {
      this.#native.syncAll(fd);
    } catch (error) {
      // Some file systems know no sync of directories: there the names are as durable as they get.
      if (codeOf(error) !== "EINVAL" && codeOf(error) !== "EBADF") throw error;
    } finally {
      close(fd);
    }
  }

  /** After a failed sync what was written since the last good one is in doubt, so nothing more is written. */
  #poisonOnError(path: string, sync: () => void): void {
    try {
      sync();
    } catch (error) {
      this.#isPoisoned = true;
      this.dispose();
      this.#options.onPoison?.();
      const reason = describe(error).text;
      throw new FsError("closed", `cannot sync \`${path}\`: ${reason}; check the disk and open the store again`);
    }
  }

  /** Writes in one call: two calls could have another writer's record between them. */
  #writeOnce(fd: number, bytes: Uint8Array): void {
    const written = this.#native.write(fd, bytes);
    if (written === bytes.length) return;
    const text = `only ${written} of ${bytes.length} bytes were written`;
    throw Object.assign(new Error(text), { code: "ENOSPC", text });
  }

  /** Makes the file `path` of `data`, durably, so that no moment shows a part of it. */
  #place(path: string, data: string | Uint8Array, placing: "new" | "over"): void {
    const [directory, name] = split(path);
    const place = this.#directory(directory, "make");
    const temporaries = this.#directory(TEMPORARY, "make");
    this.#sweep(temporaries);
    const temporary = join(temporaries, temporaryName());
    try {
      this.#writeTemporary(temporary, path, data);
      if (placing === "over") patiently(() => fs.renameSync(temporary, join(place, name)));
      else linkNew(temporary, join(place, name));
    } catch (error) {
      quietly(() => fs.unlinkSync(temporary));
      if (error instanceof FsError) throw error;
      if (codeOf(error) === "EEXIST") throw exists(path);
      if (codeOf(error) !== "ENOENT") throw failure("write", path, error);
      const reason = "its temporary file or its directory was removed; retry";
      throw new FsError("unavailable", `cannot write \`${path}\`: ${reason}`);
    }
    this.#forgetAppender(path);
    this.#syncName(place, name, path);
  }

  #writeTemporary(temporary: string, path: string, data: string | Uint8Array): void {
    const fd = attempt("write", path, () => fs.openSync(temporary, CREATE, FILE_MODE));
    try {
      const bytes = typeof data === "string" ? Buffer.from(data, "utf8") : data;
      for (let written = 0; written < bytes.length; ) {
        written += attempt("write", path, () => this.#native.write(fd, bytes.subarray(written)));
      }
      this.#poisonOnError(path, () => this.#native.syncAll(fd));
    } finally {
      close(fd);
    }
  }

  /** Removes, once, what crashed processes have left in `tmp`: no name leads there, and nobody was promised it. */
  #sweep(temporaries: string): void {
    if (this.#isSwept) return;
    this.#isSwept = true;
    quietly(() => {
      for (const name of namesIn(temporaries)) {
        const file = join(temporaries, name);
        const stats = /^[0-9a-f]{32}$/.test(name) ? lstat(file) : undefined;
        if (stats?.isFile() && Date.now() - stats.mtimeMs > TEMPORARY_AGE_MAX_MS) quietly(() => fs.unlinkSync(file));
      }
    });
  }

  /** Reads what there is of `limit` bytes from `offset`, and tells whether the end of the file was reached. */
  #read(path: string, offset: number, limit: number): [bytes: Buffer, reachesEnd: boolean] {
    checkPath(path, PATH_NAMES_MAX);
    const [fd, stats] = this.#openFile(path, READ);
    try {
      const rest = Math.max(stats.size - offset, 0);
      // What is there bounds the memory, not what was asked for.
      const wanted = Math.min(rest, limit);
      const bytes = Buffer.allocUnsafe(wanted);
      let filled = 0;
      while (filled < wanted) {
        const at = filled;
        const count = attempt("read", path, () => readAt(fd, bytes.subarray(at, wanted), offset + at));
        if (count === 0) break;
        filled += count;
      }
      return [bytes.subarray(0, filled), filled < wanted || filled === rest];
    } finally {
      close(fd);
    }
  }
}

/** Says why a directory must not be the root of a store, and how to correct it. */
function reasonToRefuse(stats: fs.Stats, isReadOnly: boolean): string | undefined {
  if (!stats.isDirectory()) return "it is not a directory; use another path";
  const user = process.geteuid?.();
  if (user === undefined) return undefined;
  const mode = stats.mode & 0o7777;
  if ((mode & 0o022) !== 0) {
    const shown = mode.toString(8).padStart(4, "0");
    return `group or others may write to it (mode ${shown}); run \`chmod go-w\` on it`;
  }
  // The superuser can change any file anyway, and read-only media belong to it as a rule.
  if (stats.uid === user || user === 0 || (isReadOnly && stats.uid === 0)) return undefined;
  return `it belongs to user ${stats.uid}, not to ${user}; run \`chown\` on it or use another one`;
}

/** Gives a file a name that must be free. A crash between the two steps leaves both, which `#admit` clears up. */
function linkNew(from: string, to: string): void {
  try {
    patiently(() => fs.linkSync(from, to));
  } catch (error) {
    // NFS sends a request again when the answer was lost, and then meets its own link.
    if (codeOf(error) !== "EEXIST" || lstat(from)?.nlink !== 2) throw error;
  }
  quietly(() => patiently(() => fs.unlinkSync(from)));
}

function makeDirectory(place: string): void {
  try {
    fs.mkdirSync(place, DIRECTORY_MODE);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
}

/** Cuts a piece of a file that starts at `offset` to whole lines, or else to whole characters. */
export function textFrom(
  bytes: Buffer,
  offset: number,
  reachesEnd: boolean,
): { start: number; data: Buffer } | number {
  // Up to three continuation bytes belong to a character that begins before the piece. A fourth belongs to none, and
  // at the beginning of the file neither does the first.
  const skippedMax = offset === 0 ? 0 : 3;
  let skipped = 0;
  while (skipped < skippedMax && ((bytes[skipped] ?? 0) & 0xc0) === 0x80) skipped += 1;
  const start = offset + skipped;
  const newline = bytes.lastIndexOf(0x0a);
  const piece = bytes.subarray(skipped, newline >= skipped ? newline + 1 : bytes.length);
  if (isUtf8(piece)) return { start, data: piece };
  const [valid, isIncomplete] = validPrefix(piece);
  // A character that the limit has cut is the next piece's. One that the end of the file cuts is damage.
  if (!isIncomplete || reachesEnd) return start + valid;
  return { start, data: piece.subarray(0, valid) };
}

/** Returns how many bytes are UTF-8, and whether what follows is the beginning of a character that is cut off. */
function validPrefix(bytes: Uint8Array): [valid: number, isIncomplete: boolean] {
  let at = 0;
  while (at < bytes.length) {
    const first = bytes[at] ?? 0;
    const length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (length === 0) return [at, false];
    for (let next = 1; next < length; next += 1) {
      const byte = bytes[at + next];
      if (byte === undefined) return [at, true];
      // Shorter forms exist below these, surrogates or nothing above.
      const low = next > 1 ? 0x80 : first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
      const high = next > 1 ? 0xbf : first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
      if (byte < low || byte > high) return [at, false];
    }
    at += length;
  }
  return [at, false];
}

function temporaryName(): string {
  return random()
    .map((half) => half.toString(16).padStart(16, "0"))
    .join("");
}

/** Returns the names of what may be regular files. */
function namesIn(place: string): string[] {
  return fs
    .readdirSync(place, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
}

function lstat(place: string): fs.Stats | undefined {
  return fs.lstatSync(place, { throwIfNoEntry: false });
}

/** Tells whether something stands at a place that is no regular file. */
function isForeign(place: string): boolean {
  try {
    return lstat(place)?.isFile() === false;
  } catch {
    return false;
  }
}

function linksOf(fd: number): number | undefined {
  try {
    return fs.fstatSync(fd).nlink;
  } catch {
    // A sync says itself what is wrong with a descriptor that cannot be looked at.
    return undefined;
  }
}

/** Returns the directory and the name of a file. */
function split(path: string): [directory: string, name: string] {
  const slash = path.lastIndexOf("/");
  return [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)];
}

/** The core writes paths of this form alone. They are checked again here, as the last place that can. */
function checkPath(path: string, namesMax: number): void {
  const names = path.split("/");
  if (names.length <= namesMax && names.every(isName)) return;
  const shown = JSON.stringify([...path].slice(0, NAME_BYTES_MAX).join(""));
  const rule = `not at most ${namesMax} names of [a-z0-9.-]; use the names of the core`;
  throw new FsError("refused", `refused the path ${shown}: ${rule}`);
}

function isName(name: string): boolean {
  const isOurs = /^[a-z0-9.-]+$/.test(name) && name.length <= NAME_BYTES_MAX && name !== "." && name !== "..";
  return isOurs && !(IS_WINDOWS && isWindowsDevice(name));
}

/** Windows finds devices under these names, with any extension, in every directory, and drops a dot at the end. */
export function isWindowsDevice(name: string): boolean {
  return /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/.test(name) || name.endsWith(".");
}

/** Retries what Windows refuses while a virus scanner or an indexer has the file open. Elsewhere it runs once. */
function patiently<T>(operate: () => T): T {
  let waited = 0;
  for (let pause = 10; ; pause = Math.min(pause * 2, 100)) {
    try {
      return operate();
    } catch (error) {
      const isTransient = IS_WINDOWS && ["EPERM", "EACCES", "EBUSY"].includes(codeOf(error) ?? "");
      if (!isTransient || waited >= PATIENCE_MAX_MS) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pause);
      waited += pause;
    }
  }
}

/** Reads again what was interrupted: of all calls, libuv leaves reading and closing alone to their callers. */
function readAt(fd: number, bytes: Uint8Array, offset: number): number {
  for (;;) {
    try {
      return fs.readSync(fd, bytes, 0, bytes.length, offset);
    } catch (error) {
      if (codeOf(error) !== "EINTR") throw error;
    }
  }
}

/** Closes a descriptor. An error says nothing: what matters was synced before, and said then, and the rest was read. */
function close(fd: number): void {
  quietly(() => fs.closeSync(fd));
}

/** Does what is worth an attempt and harms nothing where it fails. */
function quietly(operate: () => void): void {
  try {
    operate();
  } catch {
    // The caller says why.
  }
}

function attempt<T>(doing: string, path: string, operate: () => T): T {
  try {
    return operate();
  } catch (error) {
    throw failure(doing, path, error);
  }
}

function codeOf(error: unknown): string | undefined {
  return describe(error).code;
}

function isAbsence(error: unknown): boolean {
  return error instanceof FsError ? error.payload.kind === "not-found" : codeOf(error) === "ENOENT";
}

function exists(path: string): FsError {
  return new FsError("exists", `\`${path}\` is there already; read it, or use another name`);
}

function absence(path: string): FsError {
  return new FsError("not-found", `\`${path}\` was removed; list the store to see what it holds`);
}

function refusal(path: string, reason: string): FsError {
  return new FsError("refused", `refused to use \`${path}\`: ${reason}; move it out of the store`);
}

/** Kinds and ways out of the errors that have their own; all others are `unavailable`. */
const FAILURES = new Map<string, readonly [FsErrorKind, string]>([
  ["ENOENT", ["not-found", "check whether it was removed"]],
  ...["EISDIR", "ENOTDIR", "ELOOP", "ENXIO", "EMLINK"].map(
    (code) => [code, ["refused", "move what stands there out of the store"]] as const,
  ),
  ["ENOSPC", ["unavailable", "free space and retry"]],
  ["EDQUOT", ["unavailable", "free space and retry"]],
  ["EFBIG", ["unavailable", "raise the limit of file sizes and retry"]],
  ["EROFS", ["unavailable", "make the file system writable, or open the store read-only"]],
  ["EACCES", ["unavailable", "correct the permissions and retry"]],
  ["EPERM", ["unavailable", "correct the permissions and retry"]],
  ["EMFILE", ["unavailable", "raise the limit of open files and retry"]],
  ["ENFILE", ["unavailable", "raise the limit of open files and retry"]],
]);

/** Makes the error that says that `doing` something to `path` failed with `error`. */
function failure(doing: string, path: string, error: unknown): FsError {
  if (error instanceof FsError) return error;
  const { code, text } = describe(error);
  const [kind, wayOut] = FAILURES.get(code ?? "") ?? ["unavailable", "check the disk and retry"];
  return new FsError(kind, `cannot ${doing} \`${path}\`: ${text}; ${wayOut}`);
}

/** Returns the code of an error of the system, and its words without the path that Node adds to them. */
function describe(error: unknown): { code: string | undefined; text: string } {
  const { code, text, message } = Object(error) as Readonly<Record<string, unknown>>;
  const known = typeof code === "string" ? code : undefined;
  if (typeof text === "string") return { code: known, text };
  for (const [name, words] of getSystemErrorMap().values()) {
    if (name === known) return { code: known, text: `${words} (${name})` };
  }
  return { code: known, text: String(message ?? error) };
}
