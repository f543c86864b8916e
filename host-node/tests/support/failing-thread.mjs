// The thread of a store whose syncs fail.
import { Disk } from "../../dist/disk.js";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

void Disk;
fs.fdatasyncSync = () => {
  throw Object.assign(new Error("EIO"), { code: "EIO" });
};
syncBuiltinESMExports();
await import("../../dist/thread.js");
