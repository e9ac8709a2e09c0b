import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { writeDate } from "../../scripts/sample-text.ts";
import { findDates, isIsoDate, numericOrder, readDate } from "../../src/domain/dates.ts";

const isoDates = fc
  .date({ min: new Date("1970-01-01T00:00:00Z"), max: new Date("2099-12-31T00:00:00Z"), noInvalidDate: true })
  .map((date) => date.toISOString().slice(0, 10));

describe("readDate", () => {
  it.each([
    ["January 5, 2026", "2026-01-05"],
    ["JANUARY  5 , 2026", "2026-01-05"],
    ["January 5th, 2026", "2026-01-05"],
    ["5 January 2026", "2026-01-05"],
    ["5th day of January, 2026", "2026-01-05"],
    ["15t h day of January 2018", "2018-01-15"],
    ["22 Dec. 2017", "2017-12-22"],
    ["Sept 29, 2004", "2004-09-29"],
    ["this twenty-first day of May, 2026", "2026-05-21"],
    ["the 3rd day of May in the year 2026", "2026-05-03"],
    ["dated\u00a05\u00a0January\n2026", "2026-01-05"],
    ["dated—5 January 2026", "2026-01-05"],
    ["2026-01-05", "2026-01-05"],
    ["2026-01-05T10:00:00Z", "2026-01-05"],
    ["22-Dec-17", "2017-12-22"],
    ["12/22/2017", "2017-12-22"],
    ["22.12.2017", "2017-12-22"],
    ["29/3/18", "2018-03-29"],
    ["12/22/99", "1999-12-22"],
    ["12/22/69", "1969-12-22"],
    ["12/22/68", "2068-12-22"],
    ["05/05/2026", "2026-05-05"],
    ["February 29, 2024", "2024-02-29"],
  ])("reads %j", (quote, date) => {
    expect(readDate(quote)).toEqual({ kind: "certain", date });
  });

  it.each([
    "February 30, 2026",
    "February 29, 2026",
    "31 June 2026",
    "13/13/2026",
    "2026-02-30",
    "January 2026",
    "January 5",
    "February ____, 2017",
    "this ___ day of ____, 20__",
    "5 to 7 January 2026",
    "January 5-7, 2026",
    "clause 5.2.10",
    "section 1-2-03",
    "two years from the date hereof",
    "5/6/2026/7",
    "",
  ])("reads no date in %j", (quote) => {
    expect(readDate(quote)).toBeNull();
  });

  it("gives both readings of a numeric date that has two", () => {
    const both = { kind: "ambiguous", monthFirst: "2026-03-04", dayFirst: "2026-04-03" };
    for (const quote of ["03/04/2026", "3/4/26", "03.04.2026", "03-04-2026"])
      expect(readDate(quote)).toEqual(both);
  });

  it("lists the dates of a quote that states more than one", () => {
    const quote = "from August 1, 2004 until July 31, 2009";
    expect(readDate(quote)).toEqual({
      kind: "several",
      dates: ["2004-08-01", "2009-07-31"],
      ambiguous: false,
    });
  });

  it("counts a date that is stated twice once, and lets the words settle the digits", () => {
    expect(readDate("01/05/2026 (January 5, 2026)")).toEqual({ kind: "certain", date: "2026-01-05" });
    expect(readDate("5 January 2026, i.e. January 5, 2026")).toEqual({ kind: "certain", date: "2026-01-05" });
  });

  it("reads back every date that was written, in every style", () => {
    fc.assert(
      fc.property(
        isoDates,
        fc.constantFrom("us", "us-short", "uk", "uk-short", "formal", "iso"),
        fc.constantFrom("", "dated ", "on or before "),
        (date, style, before) => {
          expect(readDate(`${before}${writeDate(date, style)}.`)).toEqual({ kind: "certain", date });
        },
      ),
    );
  });

  it("reads back numeric dates, or gives a pair of readings that holds the date", () => {
    fc.assert(
      fc.property(isoDates, fc.constantFrom("mdy", "dmy"), (date, style) => {
        const reading = readDate(writeDate(date, style));
        if (reading?.kind === "ambiguous") expect([reading.monthFirst, reading.dayFirst]).toContain(date);
        else expect(reading).toEqual({ kind: "certain", date });
      }),
    );
  });

  it("never throws, and only ever gives dates that exist", () => {
    const pieces = fc.constantFrom(
      "January",
      "31",
      "30",
      "/",
      "-",
      ".",
      " ",
      "2026",
      "th",
      "of",
      ",",
      "day",
      "99",
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 20 }), (parts) => {
        for (const date of findDates(parts.join(""))) {
          const readings = date.kind === "certain" ? [date.date] : [date.monthFirst, date.dayFirst];
          expect(readings.every(isIsoDate)).toBe(true);
        }
      }),
    );
  });
});

describe("numericOrder", () => {
  it("follows the dates that can be read one way only", () => {
    expect(numericOrder("signed 03/04/2026, paid 25/04/2026")).toBe("day-first");
    expect(numericOrder("signed 03/04/2026, paid 04/25/2026")).toBe("month-first");
  });

  it("says nothing when there is no such date, or when they disagree", () => {
    expect(numericOrder("signed 03/04/2026 and April 3, 2026")).toBeNull();
    expect(numericOrder("25/04/2026 and 04/25/2026")).toBeNull();
  });
});

describe("isIsoDate", () => {
  it("takes only dates that are on the calendar, in full", () => {
    expect(["2026-01-05", "2024-02-29", "2000-02-29"].every(isIsoDate)).toBe(true);
    expect(
      ["2026-1-5", "2026-02-30", "1900-02-29", "2026-13-01", "2026-01-05T00:00", ""].some(isIsoDate),
    ).toBe(false);
  });
});
