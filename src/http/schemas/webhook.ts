import { z } from "zod";
import { deliveryStatuses } from "../../db/queries/webhooks.ts";
import { limit, offset, pageSizeDefault, uuid } from "./common.ts";

export const deliveriesQuery = z.object({
  status: z.enum(deliveryStatuses).optional(),
  run_id: uuid.optional(),
  limit: limit.default(pageSizeDefault),
  offset,
});
