// One breaker for each provider and model. Every time in it is the database's; every move is one guarded statement.
import { query } from "../query.ts";

export interface BreakerRow {
  target: string;
  state: "closed" | "open" | "half_open";
  forced: boolean;
  failures: number;
  opened_at: Date | null;
  probe_until: Date | null;
  updated_at: Date;
}
const asBreaker = (raw: Record<string, unknown>): BreakerRow => raw as unknown as BreakerRow;

export interface Admission {
  state: BreakerRow["state"];
  /** Names the one probe that this caller may send; null for everybody else. */
  probe: string | null;
  /** Until an open breaker lets a probe through, or the probe under way must have answered. */
  waitMs: number;
}

/** Whether a request may be sent. When the time has come it makes the caller's the one probe. Zero rows: closed. */
export const admit = query({
  name: "breaker.admit",
  text: `
with probe as (
  update holdfast.breakers b
     set state = 'half_open', probe_until = holdfast.now() + $3::int * interval '1 millisecond', updated_at = holdfast.now()
   where b.target = $1 and not b.forced
     and (b.state = 'open' and b.opened_at + $2::int * interval '1 millisecond' <= holdfast.now()
          or b.state = 'half_open' and b.probe_until <= holdfast.now())
  returning b.probe_until::text as probe
)
select b.state, (select probe from probe) as probe,
  case when b.forced or b.state = 'closed' then 0
       else greatest(0, extract(epoch from case b.state when 'open' then b.opened_at + $2::int * interval '1 millisecond'
              else b.probe_until end - holdfast.now()) * 1000)::int end as wait_ms
  from holdfast.breakers b where b.target = $1`,
  values: (p: { target: string; openMs: number; probeMs: number }) => [p.target, p.openMs, p.probeMs],
  row: (raw): Admission => ({
    state: raw.state as Admission["state"],
    probe: raw.probe as string | null,
    waitMs: raw.wait_ms as number,
  }),
});

/** One more failure in a row; the last of `failuresMax` opens it, and so does the failure of the probe. */
export const failed = query({
  name: "breaker.failed",
  text: `
insert into holdfast.breakers as b (target, failures, state, opened_at)
values ($1, 1, case when $3::int <= 1 then 'open' else 'closed' end, case when $3::int <= 1 then holdfast.now() end)
on conflict (target) do update
   set failures = b.failures + 1, updated_at = holdfast.now(),
       (state, opened_at, probe_until) = (
         select case when opens then 'open' else b.state end, case when opens then holdfast.now() else b.opened_at end,
                case when opens then null else b.probe_until end
           from (select not b.forced and (b.state = 'closed' and b.failures + 1 >= $3::int
                   or b.state = 'half_open' and b.probe_until::text = $2) is true as opens) as move)
returning *`,
  values: (p: { target: string; probe: string | null; failuresMax: number }) => [
    p.target,
    p.probe,
    p.failuresMax,
  ],
  row: asBreaker,
});

/**
 * Ends the row of failures. Only a probe sent since the breaker opened last closes it, also one that took longer than
 * its time (a long stream does): an old request that still answers does not.
 */
export const succeeded = query({
  name: "breaker.succeeded",
  text: `
update holdfast.breakers b
   set state = 'closed', failures = 0, opened_at = null, probe_until = null, updated_at = holdfast.now()
 where b.target = $1 and not b.forced
   and (b.state = 'closed' and b.failures > 0 or b.state = 'half_open' and $2::timestamptz > b.opened_at)
returning *`,
  values: (p: { target: string; probe: string | null }) => [p.target, p.probe],
  row: asBreaker,
});

/** The probe was given up without an answer: the next caller may send one at once. */
export const probeGivenUp = query({
  name: "breaker.probe_given_up",
  text: `
update holdfast.breakers b set probe_until = holdfast.now(), updated_at = holdfast.now()
 where b.target = $1 and b.state = 'half_open' and b.probe_until::text = $2 returning *`,
  values: (p: { target: string; probe: string }) => [p.target, p.probe],
  row: asBreaker,
});

/** An operator's word: it stays as it is until somebody says otherwise. */
export const force = query({
  name: "breaker.force",
  text: `
insert into holdfast.breakers as b (target, state, forced, opened_at)
values ($1, $2, true, case when $2 = 'open' then holdfast.now() end)
on conflict (target) do update
   set state = $2, forced = true, failures = 0, probe_until = null, updated_at = holdfast.now(),
       opened_at = case when $2 = 'open' then holdfast.now() end
returning *`,
  values: (p: { target: string; state: "open" | "closed" }) => [p.target, p.state],
  row: asBreaker,
});

/** Gives it back to its own rules, closed, whatever it is. Zero rows: there is none of this name. */
export const unforce = query({
  name: "breaker.unforce",
  text: `
update holdfast.breakers b
   set state = 'closed', forced = false, failures = 0, opened_at = null, probe_until = null, updated_at = holdfast.now()
 where b.target = $1 returning *`,
  values: (p: { target: string }) => [p.target],
  row: asBreaker,
});

/** There is one for each provider and model; more than this are not shown. */
export const breakersMax = 1_000;

export const listBreakers = query({
  name: "breaker.list",
  text: "select * from holdfast.breakers order by target limit $1::int",
  values: (p: { limit: number }) => [p.limit],
  row: asBreaker,
});
