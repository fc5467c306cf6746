/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the program `lattice-mcp` that stand in files of their own.
 */
#ifndef CMD_MCP_COMMANDS_H
#define CMD_MCP_COMMANDS_H

/** mcp_gateway_command() - `lattice-mcp gateway -- SERVER ARGS…`. Returns the exit status. */
int mcp_gateway_command(int argc, char **argv);

/**
 * mcp_listen() - Serve the gateway on a socket in the file system: each connection gets a gateway
 * process, and so a server process, of its own, with the connection as its standard input and
 * output. @path: where the socket is made (mode 0600); a dead one left there is replaced. @argv:
 * the words of `lattice-mcp gateway …`, from "gateway" on; `--listen` and its value are left out
 * for the processes started. Ends on SIGINT, SIGTERM, SIGHUP, and, when standard input is a pipe or
 * a socket, at its end. Returns the exit status.
 */
int mcp_listen(const char *path, int argc, char **argv);

/** mcp_connect() - `lattice-mcp connect SOCKET`: carry standard input and output to and from such a
 * socket, so that any MCP client can use it as a stdio server. Returns the exit status. */
int mcp_connect(int argc, char **argv);

/** mcp_wrap_command(), mcp_unwrap_command() - `lattice-mcp wrap FILE` and `unwrap FILE`. Return the
 * exit status. */
int mcp_wrap_command(int argc, char **argv);
int mcp_unwrap_command(int argc, char **argv);

struct session;

/** mcp_serve_tools() - Serve the platform's tools on standard input and output until its end.
 * @session: options were taken; it is ended here. @workspace: the namespace of all calls. Returns
 * the exit status. */
int mcp_serve_tools(struct session *session, const char *workspace);

#endif
