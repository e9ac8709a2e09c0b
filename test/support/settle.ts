import type { Database } from "../../src/db/pool.ts";
import { GroupSettle } from "../../src/queue/group-settle.ts";
import type { Settlement } from "../../src/queue/settle.ts";

/** As the only worker of its process does. */
export const settle = (db: Database, settlement: Settlement): ReturnType<GroupSettle["settle"]> =>
  new GroupSettle(db).settle(settlement);
