// Preloaded with NODE_OPTIONS=--import: this process believes that it is SKEW_MINUTES later.
const skewMillis = Number(process.env.SKEW_MINUTES ?? 0) * 60_000;
const RealDate = Date;

class SkewedDate extends RealDate {
  constructor(...parts) {
    if (parts.length === 0) super(RealDate.now() + skewMillis);
    else super(...parts);
  }

  static now() {
    return RealDate.now() + skewMillis;
  }
}
globalThis.Date = SkewedDate;
