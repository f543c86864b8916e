// Changes to what jco generates. Each must be found exactly once, so that a new version of jco cannot lose one unseen.

const DEBUG = `  const _debugLog = (...args) => {
    if (!globalThis?.process?.env?.JCO_DEBUG) { return; }
    console.debug(...args);
  };
`;

const DECODER = "const TEXT_DECODER_UTF8 = new TextDecoder();";

const ENCODE_BEGIN = "  function _utf8AllocateAndEncode(s, realloc, memory) {\n";
const ENCODE_END = "    const res = { ptr, len, codepoints };\n    return res;\n  }\n";

/** @type {readonly (readonly [why: string, find: (source: string) => string, replacement: string])[]} */
const PATCHES = [
  // It looks into the environment some dozen times per call, which costs as much as the rest of the call.
  ["no debug log", () => DEBUG, "  const _debugLog = () => {};\n"],
  // A text may begin with U+FEFF, which an ordinary decoder takes away.
  ["a byte order mark is text", () => DECODER, 'const TEXT_DECODER_UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });'],
  // Counting bytes character by character costs more than the rest of reading a log. And what is read from a file is
  // UTF-8 already, so that it can cross as bytes and need not become a string in between.
  [
    "strings cross as fast as they can",
    (source) => {
      const begin = source.indexOf(ENCODE_BEGIN);
      const end = source.indexOf(ENCODE_END, begin);
      return source.slice(begin, end + ENCODE_END.length);
    },
    `${ENCODE_BEGIN}    const isText = typeof s === "string";
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
  ],
];

/** Applies all patches. */
export function patched(source) {
  for (const [why, find, replacement] of PATCHES) {
    const found = find(source);
    if (found === "" || source.split(found).length !== 2) throw new Error(`jco generates other code: ${why}`);
    source = source.replace(found, () => replacement);
  }
  return source;
}
