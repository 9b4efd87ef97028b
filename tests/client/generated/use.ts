// Use a client that openapi-fetch builds from the generated types; print what it was told as JSON.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const client = createClient<paths>({ baseUrl: process.argv[2]! });
const arena = await client.GET("/api/v1/arena", {});
const strategies: string[] = arena.data!.data.map((row) => row.strategy);
const unknown = await client.GET("/api/v1/runners/{strategy}", { params: { path: { strategy: "nobody" } } });
const problem: string = unknown.error!.type;
const paused = await client.POST("/api/v1/commands/pause", {
  body: { actor: "anna", reason: "news" },
  headers: { authorization: `Bearer ${process.argv[3]!}` },
});
const firstSeq: number = paused.data!.first_seq;
console.log(JSON.stringify({ strategies, problem, first_seq: firstSeq }));
