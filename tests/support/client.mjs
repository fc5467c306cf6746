// SPDX-License-Identifier: Apache-2.0
// Ordinary node network clients: client.mjs HOW URL prints what the server sent. HOW: fetch, http.
import http from "node:http";
import https from "node:https";

const [how, url] = process.argv.slice(2);

if (how === "fetch") {
    process.stdout.write(await (await fetch(url)).text());
} else {
    const client = url.startsWith("https:") ? https : http;
    client
        .get(url, (reply) => reply.pipe(process.stdout))
        .on("error", (error) => {
            console.error(error.message);
            process.exitCode = 1;
        });
}
