/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands of `lattice`. Each takes its own word as argv[0] and returns the exit status.
 */
#ifndef CMD_COMMANDS_H
#define CMD_COMMANDS_H

int cmd_sandbox(int argc, char **argv);
/** cmd_sandboxes() - `lattice sandbox ps|stats|inspect|kill`; the verb is argv[1]. */
int cmd_sandboxes(int argc, char **argv);
int cmd_gateway(int argc, char **argv);
int cmd_policy(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_nats(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_login(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_agent(int argc, char **argv);
int cmd_delegate(int argc, char **argv);
int cmd_approvals(int argc, char **argv);
int cmd_version(int argc, char **argv);

#endif
