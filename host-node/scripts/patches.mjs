// Changes to what jco generates. Each must be found as often as it says, so that a new version of jco cannot lose one
// unseen.

const ENCODE_BEGIN = "  function _utf8AllocateAndEncode(s, realloc, memory) {\n";
const ENCODE_END = "    const res = { ptr, len, codepoints };\n    return res;\n  }\n";

// Tasks, subtasks and streams of asynchronous components are a quarter of the code and of the time of a call. Nothing
// here is asynchronous.
const TASKS_BEGIN = "  let RESOURCE_SCOPE_ID = 0;\n";
const TASKS_END = "  const hasOwnProperty = Object.prototype.hasOwnProperty;\n";
const NO_TASKS = `  const STATE = {
    markTrapped: (error) => error instanceof WebAssembly.RuntimeError,
    mayLeave: true,
  };
  const INSTANCE_FLAGS = new Map();
  const getOrCreateAsyncState = () => STATE;
  const _inTask = ({ fn }) => fn();
`;
const SUSPENDING_BEGIN = "  function _suspendingImport(";
const SUSPENDING_END = "  const module0 = ";

/** What stands from `begin` up to `end`. */
function between(source, begin, end) {
  const from = source.indexOf(begin);
  const to = source.indexOf(end, from);
  return from < 0 || to < 0 ? "" : source.slice(from, to);
}

const PATCHES = [
  {
    // Calls of it look into the environment some dozen times per call, which costs as much as the rest of the call.
    find: /^ *_debugLog\([^]*?\);\n/gm,
    put: "",
    isRepeated: true,
  },
  { find: (source) => between(source, TASKS_BEGIN, TASKS_END), put: NO_TASKS },
  { find: (source) => between(source, SUSPENDING_BEGIN, SUSPENDING_END), put: "" },
  {
    // How an import is called by way of a task; the second time for components that are not suspended.
    find: /_trampoline(\d+)\.manuallyAsync \?(?:[^]*?importFn: _trampoline\1,\s*\},\s*\)){2}/g,
    put: (_, number) => `_trampoline${number}`,
    isRepeated: true,
  },
  {
    // What is left of them before the work of an import, and of an export.
    find: /^ *const hostProvided = true;\n[^]*?const started = task\.enterSync\(\);\n/gm,
    put: "",
    isRepeated: true,
  },
  {
    find: /^ *const hostProvided = false;\n[^]*?task\.setReturnMemory\(.*\n *\}\n/gm,
    put: "",
    isRepeated: true,
  },
  {
    // Around the call of the host's function, or of the component's: the call alone.
    find: /_withGlobalCurrentTaskMeta\(\{\s*(?:\w+: task\.\w+\(\),\s*)+fn: \(\) => (?:_trackHostOperation\(\(\) => (.*)\)|(\w+\(.*\))),\s*\}\)/g,
    put: (_, ofHost, ofComponent) => ofHost ?? ofComponent,
    isRepeated: true,
  },
  {
    // Around all of an export.
    find: /_withGlobalCurrentTaskMeta\(\{\s*(?:\w+: task\.\w+\(\),\s*)+/g,
    put: "_inTask({ ",
    isRepeated: true,
  },
  {
    find: /^ *(?:task\.\w+\(.*\);|if \(!task\.isExited\(\)\) .*|if \(!task\.isResolvedState\(\)\) \{\n(?: *task\..*\n)* *\})\n/gm,
    put: "",
    isRepeated: true,
  },
  {
    // What is appended to a file goes there as the bytes that it is, and need not become a string in between: a call
    // ends before anything else happens to the component's memory. The function is known by its third parameter.
    find: /(?<=var result1 = )TEXT_DECODER_UTF8\.decode\((new Uint8Array\(memory0\.buffer, ptr1, len1\))\);(?=\s*let enum2;\s*switch \(arg4\) \{\s*case 0: \{\s*enum2 = 'buffered')/g,
    put: (_, bytes) => `${bytes};`,
    isRepeated: true,
  },
  {
    // A text may begin with U+FEFF, which an ordinary decoder takes away.
    find: "const TEXT_DECODER_UTF8 = new TextDecoder();",
    put: 'const TEXT_DECODER_UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });',
  },
  {
    // Counting bytes character by character costs more than the rest of reading a log. And what is read from a file is
    // UTF-8 already, so that it can cross as bytes and need not become a string in between.
    find: (source) => between(source, ENCODE_BEGIN, ENCODE_END) + ENCODE_END,
    put: `${ENCODE_BEGIN}    const isText = typeof s === "string";
    if (!isText && !(s instanceof Uint8Array)) throw new TypeError("expected a string, received " + typeof s);
    const len = isText ? Buffer.byteLength(s, "utf8") : s.length;
    if (len === 0) return { ptr: 1, len: 0 };
    const ptr = realloc(0, 0, 1, len);
    const target = new Uint8Array(memory.buffer, ptr, len);
    if (isText) TEXT_ENCODER_UTF8.encodeInto(s, target);
    else target.set(s);
    return { ptr, len };
  }
`,
  },
  {
    // Where the function is missing each use throws an error that takes 4 ms to word, because V8 parses the whole module
    // for it.
    find: "WebAssembly.promising(",
    put: "(",
    isRepeated: true,
  },
  {
    // As a CommonJS module it can be loaded by a function that waits, when it is needed and not before.
    find: '"use components";\nexport function instantiate(',
    put: '"use strict";\nexports.instantiate = function (',
  },
  { find: "export const _util = {\n  \n}\n", put: "" },
];

/** Applies all patches. */
export function patched(source) {
  for (const { find, put, isRepeated = false } of PATCHES) {
    const found = typeof find === "function" ? find(source) : find;
    const count = found === "" ? 0 : source.split(found).length - 1;
    if (count === 0 || (count > 1 && !isRepeated)) throw new Error(`jco generates other code: ${String(find)}`);
    source = source.replaceAll(found, typeof put === "string" ? () => put : put);
  }
  return source;
}
