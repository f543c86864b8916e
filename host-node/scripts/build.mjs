// Makes `dist/`: the component as JavaScript and WebAssembly, and the sources compiled. Run by `npm run build`.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { transpileBytes } from "@bytecodealliance/jco-transpile";
import { minify } from "oxc-minify";
import ts from "typescript";
import { patched } from "./patches.mjs";

const root = new URL("../", import.meta.url);
const output = new URL("dist/component/", root);
const wasm = new URL("../host/component/sessile.wasm", root);
const glue = new URL("sessile.cjs", output);

let component;
try {
  component = readFileSync(wasm);
} catch {
  console.error(`error: ${fileURLToPath(wasm)} is missing; \`cargo xtask build\` makes it`);
  process.exit(1);
}
rmSync(new URL("dist/", root), { recursive: true, force: true });
mkdirSync(output, { recursive: true });
const { files } = await transpileBytes(component, {
  name: "sessile",
  // An instance that has trapped is dead; with this another can be made.
  instantiation: "sync",
  // The component imports nothing of WASI, and must not begin to.
  wasiShim: false,
  nodejsCompat: false,
  emitTypescriptDeclarations: false,
  // Errors are thrown as the component returns them, and not with a stack that nobody reads.
  noComponentErrorWrapping: true,
});
for (const [name, bytes] of Object.entries(files)) {
  if (name === "sessile.js") {
    const source = patched(Buffer.from(bytes).toString());
    writeFileSync(glue, source);
    checkNames(fileURLToPath(glue));
    // A third of the size is parsed in half the time, at each start.
    const { code, errors } = await minify("sessile.cjs", source);
    if (errors.length > 0) throw new Error(errors[0].message);
    writeFileSync(glue, code);
  } else {
    writeFileSync(new URL(name, output), bytes);
  }
}
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "--project", fileURLToPath(new URL("tsconfig.json", root))], { stdio: "inherit" });

/** Throws where the JavaScript in `path` asks for a name that nothing declares: patches have taken too much. */
function checkNames(path) {
  const program = ts.createProgram([path], { allowJs: true, checkJs: true, noEmit: true, types: ["node"] });
  const missing = program.getSemanticDiagnostics().filter(({ code }) => code === 2304 || code === 2552);
  if (missing.length > 0) throw new Error(ts.flattenDiagnosticMessageText(missing[0].messageText, "\n"));
}
