// SPDX-License-Identifier: Apache-2.0
// Stdio MCP servers on HTTP, for the conformance suite, which speaks nothing else. For tests only: one
// process a legacy session (Mcp-Session-Id), one for all modern requests. Prints its port.
//   node mcp_http.mjs COMMAND ARGS…
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import http from "node:http";
import readline from "node:readline";

const [command, ...args] = process.argv.slice(2);
const sessions = new Map();
let modern;

class Server {
    constructor() {
        this.waiting = new Map(); // id of a request → its HTTP exchange
        this.child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
        readline.createInterface({ input: this.child.stdout }).on("line", (line) => this.message(line));
        this.child.on("exit", () => this.waiting.forEach((x) => x.response.destroy()));
    }

    // An answer goes to its request; everything else to the request that came last.
    message(line) {
        const m = JSON.parse(line);
        const isAnswer = m.method === undefined;
        const x = isAnswer ? this.waiting.get(m.id) : [...this.waiting.values()].at(-1);
        if (x === undefined) return;
        if (isAnswer) this.waiting.delete(m.id);
        if (!x.response.headersSent && isAnswer) {
            const status = !x.isModern ? 200 : m.error?.code === -32601 ? 404 : m.error ? 400 : 200;
            x.response.writeHead(status, { "Content-Type": "application/json", ...x.headers });
            x.response.end(line);
            return;
        }
        if (!x.response.headersSent) x.response.writeHead(200, { "Content-Type": "text/event-stream", ...x.headers });
        x.response.write(`event: message\ndata: ${line}\n\n`);
        if (isAnswer) x.response.end();
    }

    send(text) {
        this.child.stdin.write(JSON.stringify(JSON.parse(text)) + "\n");
    }
}

function refuse(response, status, code, message) {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ jsonrpc: "2.0", id: null, error: { code, message } }));
}

function post(request, response, text) {
    let m;
    try {
        m = JSON.parse(text);
    } catch {
        return refuse(response, 400, -32700, "no JSON");
    }
    const id = request.headers["mcp-session-id"];
    const isModern = id === undefined && !(m.method === "initialize" && m.params?._meta?.["io.modelcontextprotocol/protocolVersion"] === undefined);
    const headers = {};
    let server = isModern ? (modern ??= new Server()) : sessions.get(id);
    if (!isModern && id === undefined) {
        headers["Mcp-Session-Id"] = randomUUID();
        sessions.set(headers["Mcp-Session-Id"], (server = new Server()));
    }
    if (server === undefined) return refuse(response, 404, -32001, "no such session");
    if (m.method !== undefined && m.id !== undefined) {
        server.waiting.set(m.id, { response, headers, isModern });
        response.on("close", () => server.waiting.delete(m.id));
    } else {
        response.writeHead(202).end();
    }
    server.send(text);
}

const web = http.createServer((request, response) => {
    const host = `127.0.0.1:${web.address().port}`;
    const origin = request.headers.origin;
    if ((request.headers.host !== host && request.headers.host !== host.replace("127.0.0.1", "localhost")) ||
        (origin !== undefined && new URL(origin).host !== request.headers.host))
        return refuse(response, 403, -32000, "foreign Host or Origin");
    if (request.method === "DELETE") {
        sessions.get(request.headers["mcp-session-id"])?.child.stdin.end();
        sessions.delete(request.headers["mcp-session-id"]);
        return response.writeHead(204).end();
    }
    if (request.method !== "POST") return refuse(response, 405, -32000, "POST only");
    let text = "";
    request.setEncoding("utf8").on("data", (part) => (text += part)).on("end", () => post(request, response, text));
});
web.listen(0, "127.0.0.1", () => console.log(web.address().port));
process.stdin.resume().on("end", () => {
    [...sessions.values(), modern].forEach((s) => s?.child.stdin.end());
    web.close();
    web.closeAllConnections();
});
