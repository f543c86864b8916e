// The thread of a store whose syncs take 100 ms.
import { Disk } from "../../dist/disk.js";

const { append } = Disk.prototype;
Disk.prototype.append = function (path, data, durability) {
  if (durability === "synced") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  return append.call(this, path, data, durability);
};
await import("../../dist/thread.js");
