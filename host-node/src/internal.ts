/** For the tests of this repository alone: stores with a clock and entropy of their own, and with disks that fail. */
export { engines, open as openWith, openSync as openSyncWith, type Testing } from "./store.js";
export { calls } from "./calls.js";
export { Disk, FsError, isWindowsDevice, textFrom } from "./disk.js";
