// Uses the types that openapi-typescript makes, through openapi-fetch: a zone, a record, what is listed, errors, and
// what is changed.
//
// node client.js URL

import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const client = createClient<paths>({ baseUrl: process.argv[2] });

function expect(isSo: boolean, what: unknown): void {
  if (!isSo) {
    console.error("not as expected:", JSON.stringify(what));
    process.exit(1);
  }
}

const made = await client.POST("/api/v1/zones", { body: { name: "typescript.example" } });
expect(made.response.status === 201, made);

const put = await client.PUT("/api/v1/records/{name}", {
  params: { path: { name: "www.typescript.example" } },
  body: { type: "AAAA", ttl: 60, value: ["2001:db8::1"] },
});
expect(put.data?.value[0] === "2001:db8::1" && put.data.ttl === 60, put);

const refused = await client.PUT("/api/v1/records/{name}", {
  params: { path: { name: "www.typescript.example" } },
  body: { type: "AAAA", value: "not an address" },
});
expect(refused.error?.code === "invalid_value", refused);

const changed = await client.POST("/api/v1/changes", {
  body: {
    comment: "two hosts",
    edits: [
      { op: "put", name: "host1.typescript.example", type: "A", value: "192.0.2.3" },
      { op: "put", name: "host2.typescript.example", type: "A", value: "192.0.2.3" },
    ],
  },
});
expect(changed.response.status === 200, changed);

const listed = await client.GET("/api/v1/records", {
  params: { query: { zone: "typescript.example", q: "192.0.2.3" } },
});
expect(listed.data?.records.length === 2, listed);

const history = await client.GET("/api/v1/history", { params: { query: { zone: "typescript.example" } } });
expect(history.data?.entries[0]?.comment === "two hosts", history);

const gone = await client.DELETE("/api/v1/zones/{zone}", { params: { path: { zone: "typescript.example" } } });
expect(gone.response.status === 204, gone);
console.log("The client in TypeScript works.");
