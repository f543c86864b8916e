/** For the tests of this repository alone: stores with a clock and entropy of their own, and with disks that fail. */
export { engines, open as openWith, openSync as openSyncWith, type Testing } from "./store.js";
export { answer } from "./answers.js";
export { calls } from "./calls.js";
export { KEPT, snakeCase } from "./names.js";
export { operations } from "./operations/table.js";
export * as shapes from "./shapes.js";
export { Disk, FsError, isWindowsDevice, textFrom } from "./disk.js";
