// Changes to what jco generates. Each must be found as often as it says, so that a new version of jco cannot lose one
// unseen.

const ENCODE_BEGIN = "  function _utf8AllocateAndEncode(s, realloc, memory) {\n";
const ENCODE_END = "    const res = { ptr, len, codepoints };\n    return res;\n  }\n";

const PATCHES = [
  {
    // It looks into the environment some dozen times per call, which costs as much as the rest of the call.
    find: `  const _debugLog = (...args) => {
    if (!globalThis?.process?.env?.JCO_DEBUG) { return; }
    console.debug(...args);
  };
`,
    put: "  const _debugLog = () => {};\n",
  },
  {
    // A text may begin with U+FEFF, which an ordinary decoder takes away.
    find: "const TEXT_DECODER_UTF8 = new TextDecoder();",
    put: 'const TEXT_DECODER_UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });',
  },
  {
    // Counting bytes character by character costs more than the rest of reading a log. And what is read from a file is
    // UTF-8 already, so that it can cross as bytes and need not become a string in between.
    find: (source) => {
      const begin = source.indexOf(ENCODE_BEGIN);
      const end = source.indexOf(ENCODE_END, begin);
      return source.slice(begin, end + ENCODE_END.length);
    },
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
    // Nothing here is asynchronous. Where the function is missing each use throws an error that takes 4 ms to word,
    // because V8 parses the whole module for it.
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
    const found = typeof find === "string" ? find : find(source);
    const count = found === "" ? 0 : source.split(found).length - 1;
    if (count === 0 || (count > 1 && !isRepeated)) throw new Error(`jco generates other code: ${String(find)}`);
    source = source.replaceAll(found, () => put);
  }
  return source;
}
