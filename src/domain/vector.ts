// Vectors of texts, as they are stored and compared. Pure.

const bytesPerNumber = 4;

/** The vector with length 1, so that a product of two is the cosine of the angle between them. Null for what has no direction. */
export function unit(vector: readonly number[]): Float32Array | null {
  const length = Math.sqrt(vector.reduce((sum, number) => sum + number * number, 0));
  if (!Number.isFinite(length) || length === 0) return null;
  return Float32Array.from(vector, (number) => number / length);
}

/** Both of length 1 and of one size. -1 to 1. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let n = 0; n < a.length; n += 1) sum += (a[n] ?? 0) * (b[n] ?? 0);
  return sum;
}

/** Four bytes a number, the lowest first, whatever machine writes it. */
export function toBytes(vector: Float32Array): Buffer {
  const bytes = Buffer.alloc(vector.length * bytesPerNumber);
  vector.forEach((number, n) => {
    bytes.writeFloatLE(number, n * bytesPerNumber);
  });
  return bytes;
}

export function fromBytes(bytes: Buffer): Float32Array {
  const vector = new Float32Array(bytes.length / bytesPerNumber);
  for (let n = 0; n < vector.length; n += 1) vector[n] = bytes.readFloatLE(n * bytesPerNumber);
  return vector;
}
