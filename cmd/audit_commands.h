/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of `lattice audit`. Each takes its own word as argv[0] and returns the exit status.
 */
#ifndef CMD_AUDIT_COMMANDS_H
#define CMD_AUDIT_COMMANDS_H

int audit_verify_command(int argc, char **argv);
int audit_show_command(int argc, char **argv);
int audit_traces_command(int argc, char **argv);
int audit_trace_command(int argc, char **argv);
int audit_flows_command(int argc, char **argv);

#endif
