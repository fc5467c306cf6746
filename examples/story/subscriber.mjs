// SPDX-License-Identifier: Apache-2.0
// An independent reader of the spans: the official JetStream client, nothing of lattice's.
//   node subscriber.mjs URL CREDENTIALS-FILE SUBJECT…
// CREDENTIALS-FILE holds {"user": …, "pass": …}. Prints what the streams hold, one JSON line a
// message, and goes on until SIGTERM.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(process.env.STORY_NODE_MODULES + "/");
const { connect } = require("@nats-io/transport-node");
const { jetstream, jetstreamManager, DeliverPolicy } = require("@nats-io/jetstream");

const [url, credentials, ...subjects] = process.argv.slice(2);
const connection = await connect({ servers: url, ...JSON.parse(readFileSync(credentials, "utf8")) });
const manager = await jetstreamManager(connection);
process.on("SIGTERM", () => connection.close());

for (const subject of subjects) {
  const stream = await manager.streams.find(subject);
  const consumer = await jetstream(connection).consumers.get(stream, {
    filter_subjects: subject,
    deliver_policy: DeliverPolicy.All,
  });
  (async () => {
    for await (const message of await consumer.consume()) {
      const record = JSON.parse(message.string());
      const id = message.headers?.get("Nats-Msg-Id");
      console.log(JSON.stringify({ subject: message.subject, id, record }));
    }
  })().catch((error) => connection.isClosed() || console.error(error));
}
console.error("subscribed");
