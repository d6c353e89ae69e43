// What differs between two texts, word by word; and how long a text is. Pure: no page, no words of ours.

// Scripts written without spaces are compared and counted by character.
const UNSPACED = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Bopomofo}\p{sc=Yi}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}\p{sc=Tibetan}]/u.source;
const LETTER = `(?:(?!${UNSPACED})[\\p{L}\\p{N}\\p{M}_])`;
const WORD = `${LETTER}+(?:['’]${LETTER}+|(?<=\\p{N})[.,](?=\\p{N})${LETTER}+)*`; // don't, 3,214.5
const PIECES = new RegExp(`(\\s+)|(${WORD})|(?:(?!${LETTER})\\S)+`, "gu");
const COUNTED = new RegExp(`(${WORD})|(?=\\p{L})${UNSPACED}`, "gu");
const FAR = 0x7fffffff; // beyond any place in a list
const SPOKEN = /[\p{L}\p{N}]/u;

/** The characters of a text as a reader sees them: a letter with its marks, an emoji with its parts. */
const characters = globalThis.Intl?.Segmenter
  ? (text) => Array.from(new Intl.Segmenter().segment(text), (one) => one.segment)
  : (text) => text.match(/\P{M}\p{M}*(?:\u200d\P{M}\p{M}*)*|\p{M}+/gu) ?? [];

/** A text in pieces that joined give it back: words, spaces, and single characters of all else. */
export function tokens(text, split = characters) {
  const found = [];
  for (const [piece, space, word] of text.matchAll(PIECES)) {
    if (space || word || piece.length === 1) found.push(piece);
    else for (const one of split(piece)) found.push(one);
  }
  return found;
}

export const isSpace = (token) => !/\S/.test(token);

/** Whether a token is a word (or a letter of an unspaced script), and no mere sign. */
export const isWord = (token) => SPOKEN.test(token);

/** How long a text is: words, and each letter of an unspaced script as one; `unspaced` when most are such letters. */
export function measure(text) {
  let words = 0;
  let letters = 0;
  for (const [, word] of text.matchAll(COUNTED)) word ? (words += 1) : (letters += 1);
  return { n: words + letters, unspaced: letters > words };
}

/**
 * What stands in only one of two lists of tokens, as a byte per token of each: 1 where the other has no partner.
 * A generator: it yields between slices of work, so that a page stays alive, and returns {a, b}.
 *
 * Myers' O(ND) search from both ends ("An O(ND) Difference Algorithm", 1986), in linear space. A stretch whose
 * shortest script is longer than `cap` edits is split where the search had come farthest: then what is marked may
 * be more than the least possible, but what is left unmarked is the same in both, always.
 */
export function* differences(a, b, cap = 600) {
  const numbers = new Map();
  const numbered = (list) => Int32Array.from(list, (token) => numbers.get(token) ?? (numbers.set(token, numbers.size), numbers.size - 1));
  const [from, to] = [numbered(a), numbered(b)];
  const only = { a: new Uint8Array(a.length), b: new Uint8Array(b.length) };
  const search = { a: from, b: to, cap, down: new Int32Array(a.length + b.length + 3), up: new Int32Array(a.length + b.length + 3) };
  const boxes = [[0, a.length, 0, b.length]];
  while (boxes.length) {
    let [left, right, top, bottom] = boxes.pop();
    while (left < right && top < bottom && from[left] === to[top]) left++, top++;
    while (left < right && top < bottom && from[right - 1] === to[bottom - 1]) right--, bottom--;
    if (left === right) only.b.fill(1, top, bottom);
    else if (top === bottom) only.a.fill(1, left, right);
    else {
      const [x, y] = middle(search, left, right, top, bottom);
      boxes.push([x, right, y, bottom], [left, x, top, y]);
      yield;
    }
  }
  slide(from, only.a);
  slide(to, only.b);
  return only;
}

/**
 * Where what is marked could as well stand a little later ("[, slowly], with" or ", [slowly,] with"), it stands as
 * late as it can: the same change then looks the same everywhere. What is left unmarked stays the same sequence.
 */
function slide(list, only) {
  for (let start = 0; start < list.length; start++) {
    if (!only[start]) continue;
    let end = start + 1;
    while (only[end]) end++;
    while (end < list.length && list[start] === list[end]) {
      only[start++] = 0;
      only[end++] = 1;
      while (only[end]) end++; // it has met the next one
    }
    start = end;
  }
}

/**
 * A point on a shortest path through the box, or on a good one when the search costs too much.
 * The box is not empty and differs at both its corners, so the point is neither of them.
 * `down[k]` is how far right one comes on diagonal k (x - y) from the top left, `up[k]` how far left from the end.
 */
function middle({ a, b, cap, down, up }, left, right, top, bottom) {
  const zero = b.length + 1; // where diagonal 0 lies in the arrays
  const [lowest, highest] = [left - bottom, right - top];
  const [start, end] = [left - top, right - bottom];
  const odd = (end - start) & 1;
  let [downLow, downHigh, upLow, upHigh] = [start, start, end, end];
  down[zero + start] = left;
  up[zero + end] = right;
  for (let cost = 1; ; cost++) {
    downLow > lowest ? (down[zero + --downLow - 1] = -1) : downLow++;
    downHigh < highest ? (down[zero + ++downHigh + 1] = -1) : downHigh--;
    for (let k = downHigh; k >= downLow; k -= 2) {
      const [before, after] = [down[zero + k - 1], down[zero + k + 1]];
      let x = before < after ? after : before + 1;
      while (x < right && x - k < bottom && a[x] === b[x - k]) x++;
      down[zero + k] = x;
      if (odd && upLow <= k && k <= upHigh && up[zero + k] <= x) return [x, x - k];
    }
    upLow > lowest ? (up[zero + --upLow - 1] = FAR) : upLow++;
    upHigh < highest ? (up[zero + ++upHigh + 1] = FAR) : upHigh--;
    for (let k = upHigh; k >= upLow; k -= 2) {
      const [before, after] = [up[zero + k - 1], up[zero + k + 1]];
      let x = before < after ? before : after - 1;
      while (x > left && x - k > top && a[x - 1] === b[x - k - 1]) x--;
      up[zero + k] = x;
      if (!odd && downLow <= k && k <= downHigh && x <= down[zero + k]) return [x, x - k];
    }
    if (cost >= cap) return farthest({ down, up, zero }, [downLow, downHigh], [upLow, upHigh], [left, right, top, bottom]);
  }
}

/** Of all the paths begun, the point of the one that came farthest. */
function farthest({ down, up, zero }, [downLow, downHigh], [upLow, upHigh], [left, right, top, bottom]) {
  let best = [-1, left, top];
  const consider = (far, x, y) => far > best[0] && (best = [far, x, y]);
  for (let k = downHigh; k >= downLow; k -= 2) {
    const x = Math.min(down[zero + k], right, bottom + k);
    consider(x - left + x - k - top, x, x - k);
  }
  for (let k = upHigh; k >= upLow; k -= 2) {
    const x = Math.max(up[zero + k], left, top + k);
    consider(right - x + bottom - (x - k), x, x - k);
  }
  return best.slice(1);
}
