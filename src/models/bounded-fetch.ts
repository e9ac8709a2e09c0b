import { ModelError } from "./model-error.ts";

/** Far above any answer, far below what would hurt: the client reads a body whole before it looks at it. */
export const answerBytesMax = 16 * 1024 * 1024;

/** `fetch` that breaks off a body that grows past the limit, whatever it says of its length. */
export function boundedFetch(bytesMax: number = answerBytesMax): typeof fetch {
  const tooLarge = (): ModelError =>
    new ModelError("bad_answer", `the answer is larger than ${bytesMax} bytes`);
  return async (input, init) => {
    const response = await fetch(input, init);
    const { body } = response;
    if (body === null) return response;
    if (Number(response.headers.get("content-length") ?? 0) > bytesMax) {
      await body.cancel();
      throw tooLarge();
    }
    let bytes = 0;
    const counted = new TransformStream<Uint8Array, Uint8Array>({
      transform(part, controller) {
        bytes += part.byteLength;
        if (bytes > bytesMax) controller.error(tooLarge());
        else controller.enqueue(part);
      },
    });
    const { status, statusText, headers } = response;
    return new Response(body.pipeThrough(counted), { status, statusText, headers });
  };
}
