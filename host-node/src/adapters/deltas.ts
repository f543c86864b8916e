/** Texts that are stored as what they have that an earlier one has not. */

/** A text by an earlier one: its first `head` and its last `tail` units, with `text` between them. */
export interface Delta {
  readonly head: number;
  readonly tail: number;
  readonly text: string;
}

const STEP = 4096;

/** Says what `text` has that `base` has not. */
export function difference(base: string, text: string): Delta {
  const shorter = Math.min(base.length, text.length);
  let head = common(shorter, (from, to) => base.slice(from, to) === text.slice(from, to));
  const end = (whole: string, from: number, to: number) => whole.slice(whole.length - to, whole.length - from);
  let tail = common(shorter - head, (from, to) => end(base, from, to) === end(text, from, to));
  // Half of a pair is no text of its own.
  if (isHigh(text, head - 1)) head -= 1;
  if (isHigh(text, text.length - tail - 1)) tail -= 1;
  return { head, tail: Math.max(tail, 0), text: text.slice(head, text.length - Math.max(tail, 0)) };
}

function isHigh(text: string, at: number): boolean {
  const unit = at < 0 ? 0 : text.charCodeAt(at);
  return unit >= 0xd800 && unit < 0xdc00;
}

/** How many units are the same: whole steps first, then within the one that differs. */
function common(length: number, isSame: (from: number, to: number) => boolean): number {
  let same = 0;
  for (let step = STEP; step >= 1; step = step === STEP ? 64 : step === 64 ? 1 : 0) {
    while (same + step <= length && isSame(same, same + step)) same += step;
  }
  return same;
}

/**
 * Puts a text together from its chain: the newest delta first, the whole text last. What is left of the older ones is
 * kept as intervals, so that a long chain of small changes costs no copy of the text for each.
 */
export function compose(deltas: readonly Delta[], sizes: readonly number[], whole: string): string {
  let pieces: (string | readonly [from: number, to: number])[] = [[0, sizes[0] ?? whole.length]];
  deltas.forEach(({ head, tail, text }, depth) => {
    const baseSize = sizes[depth + 1] ?? whole.length;
    // In the new text: [0, head) and [head + text, end) are of the base.
    const shift = baseSize - tail - (head + text.length);
    pieces = pieces.flatMap((piece) => {
      if (typeof piece === "string") return [piece];
      const [from, to] = piece;
      const middle = [Math.max(from, head), Math.min(to, head + text.length)] as const;
      const last = [Math.max(from, head + text.length), to] as const;
      const split: typeof pieces = [];
      if (from < Math.min(to, head)) split.push([from, Math.min(to, head)]);
      if (middle[0] < middle[1]) split.push(text.slice(middle[0] - head, middle[1] - head));
      if (last[0] < last[1]) split.push([last[0] + shift, last[1] + shift]);
      return split;
    });
  });
  return pieces.map((piece) => (typeof piece === "string" ? piece : whole.slice(piece[0], piece[1]))).join("");
}
