const small = (
  "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen " +
  "eighteen nineteen"
).split(" ");
const tens = ", ,twenty,thirty,forty,fifty,sixty,seventy,eighty,ninety".split(",");
const scales: readonly (readonly [string, number])[] = [
  ["billion", 1e9],
  ["million", 1e6],
  ["thousand", 1e3],
];
const wordsMax = 40;

/** Reads "four hundred twenty-five thousand". Words that are no number in this order ("five six") are null. */
export function readNumberWords(text: string): number | null {
  const words = text
    .toLowerCase()
    .replace(/fourty/g, "forty")
    .split(/[^a-z]+/)
    .filter((word) => word !== "" && word !== "and");
  if (words.length === 0 || words.length > wordsMax) return null;
  if (words.length === 1 && words[0] === "zero") return 0;
  let rest = words;
  let total = 0;
  for (const [name, size] of scales) {
    const at = rest.indexOf(name);
    if (at < 0) continue;
    const group = readBelowThousand(rest.slice(0, at));
    if (group === null) return null;
    total += group * size;
    rest = rest.slice(at + 1);
  }
  if (rest.length === 0) return total;
  const last = readBelowThousand(rest);
  return last === null ? null : total + last;
}

/** Writes a whole number in English, the way contracts do: "Four Hundred Twenty-Five Thousand". */
export function writeNumberWords(value: number): string {
  if (value === 0) return "Zero";
  let rest = value;
  const parts: string[] = [];
  for (const [name, size] of scales) {
    const count = Math.floor(rest / size);
    if (count > 0) parts.push(`${writeBelowThousand(count)} ${title(name)}`);
    rest %= size;
  }
  if (rest > 0) parts.push(writeBelowThousand(rest));
  return parts.join(" ");
}

function readBelowThousand(words: readonly string[]): number | null {
  const hundred = words.indexOf("hundred");
  if (hundred < 0) return readBelowHundred(words);
  const count = readBelowHundred(words.slice(0, hundred));
  const rest = words.slice(hundred + 1);
  const below = rest.length === 0 ? 0 : readBelowHundred(rest);
  return count === null || below === null ? null : count * 100 + below;
}

function readBelowHundred(words: readonly string[]): number | null {
  const [first, second] = words;
  if (first === undefined || words.length > 2) return null;
  const ten = tens.indexOf(first);
  if (ten >= 2 && second === undefined) return ten * 10;
  const unit = small.indexOf(ten >= 2 ? (second ?? "") : first);
  if (unit < 1 || (ten < 2 && second !== undefined) || (ten >= 2 && unit > 9)) return null;
  return ten >= 2 ? ten * 10 + unit : unit;
}

function writeBelowThousand(value: number): string {
  const hundreds = Math.floor(value / 100);
  const below = value % 100;
  const parts = hundreds > 0 ? [`${title(small[hundreds] ?? "")} Hundred`] : [];
  if (below > 0) parts.push(writeBelowHundred(below));
  return parts.join(" ");
}

function writeBelowHundred(value: number): string {
  if (value < 20) return title(small[value] ?? "");
  const unit = value % 10;
  const ten = title(tens[Math.floor(value / 10)] ?? "");
  return unit > 0 ? `${ten}-${title(small[unit] ?? "")}` : ten;
}

function title(word: string): string {
  return word.slice(0, 1).toUpperCase() + word.slice(1);
}
