// What the corpus sets for its cases: entropy, and damage.

/** SplitMix64, two numbers for each 128 bits, high half first. */
export function entropy(instance) {
  let state = BigInt.asUintN(64, BigInt(instance) * 0x5851f42d4c957f2dn);
  const draw = () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let mixed = BigInt.asUintN(64, (state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n);
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
    return mixed ^ (mixed >> 31n);
  };
  return () => [draw(), draw()];
}

/** Does to a file what crashes, disks and people do. */
export function damaged(bytes, { do: how, at: place, text = "", bytes: count = 1, byte = 0 }) {
  const at = typeof place === "string" ? bytes.indexOf(place) : (place ?? bytes.length);
  if (at < 0 || at > bytes.length) throw new Error(`no place ${place}`);
  const splice = (removed, ...added) => Buffer.concat([bytes.subarray(0, at), ...added, bytes.subarray(at + removed)]);
  switch (how) {
    case "cut": return bytes.subarray(0, at);
    case "cut_end": return bytes.subarray(0, Math.max(bytes.length - count, 0));
    case "insert": return splice(0, Buffer.from(text));
    case "insert_bytes": return splice(0, Buffer.alloc(count, byte));
    case "zero": return splice(count, Buffer.alloc(Math.min(count, bytes.length - at)));
    case "flip": return splice(1, Buffer.from([bytes[at] ^ 1]));
    case "remove": return splice(count);
    case "crlf": return Buffer.from(bytes.toString().replaceAll("\n", "\r\n"));
    case "twice": return Buffer.concat([bytes, bytes.subarray(at, at + count)]);
    default: throw new Error(`unknown damage ${how}`);
  }
}
