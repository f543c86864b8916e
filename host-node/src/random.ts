/** Unpredictable bits. */

/** For some ids at once: a call of the system's source costs as much as a write. */
const bits = new BigUint64Array(128);
let drawn = bits.length;

/** Returns 128 fresh unpredictable bits, as two halves. */
export function random(): [high: bigint, low: bigint] {
  if (drawn === bits.length) {
    // Loaded when it is needed: reading a store needs none, and it takes some ms.
    process.getBuiltinModule("node:crypto").randomFillSync(bits);
    drawn = 0;
  }
  const [high = 0n, low = 0n] = bits.subarray(drawn, (drawn += 2));
  return [high, low];
}
