// Directories of tests.
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

/** Makes a directory (0700) that is removed when the test ends. */
export function scratch(test) {
  const place = mkdtempSync(join(tmpdir(), "sessile-test-"));
  chmodSync(place, 0o700);
  test.after(() => rmSync(place, { recursive: true, force: true }));
  return place;
}

/** Copies a store. The copy is private, whatever modes a checkout has given. */
export function copy(from, to) {
  cpSync(from, to, { recursive: true });
  chmodSync(to, 0o700);
  return to;
}

/** All files below a directory and what they hold. */
export function files(root) {
  const all = existsSync(root) ? readdirSync(root, { recursive: true }).map((name) => join(root, name)) : [];
  const regular = all.filter((file) => statSync(file).isFile()).sort();
  return Object.fromEntries(regular.map((file) => [relative(root, file), readFileSync(file, "latin1")]));
}
