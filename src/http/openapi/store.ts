import {
  deleteItemBody,
  getItemQuery,
  listNamespacesBody,
  putItemBody,
  searchItemsBody,
} from "../schemas/store.ts";
import { foundItems, item, namespaces } from "./answers.ts";
import { answer, nothing, operationsOf } from "./operation.ts";

export const storeOperations = operationsOf("Store", [
  {
    route: "PUT /store/items",
    id: "putItem",
    summary: "Stores an item of long-term memory",
    body: putItemBody,
    answers: { 204: nothing("it is stored") },
  },
  {
    route: "GET /store/items",
    id: "getItem",
    summary: "One item; null where there is none",
    query: getItemQuery,
    answers: { 200: answer(item.nullable()) },
  },
  {
    route: "DELETE /store/items",
    id: "deleteItem",
    summary: "Deletes an item",
    body: deleteItemBody,
    answers: { 204: nothing("it is gone") },
  },
  {
    route: "POST /store/items/search",
    id: "searchItems",
    summary: "Items below a namespace, changed last first",
    body: searchItemsBody,
    answers: { 200: answer(foundItems) },
  },
  {
    route: "POST /store/namespaces",
    id: "listNamespaces",
    summary: "Namespaces that hold items",
    body: listNamespacesBody,
    answers: { 200: answer(namespaces) },
  },
]);
