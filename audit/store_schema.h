/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of the projection, as the steps that lead to them.
 */
#ifndef AUDIT_STORE_SCHEMA_H
#define AUDIT_STORE_SCHEMA_H

#define STORE_MIGRATIONS 2

/** Entry i leads from user_version i to i + 1. */
extern const char *const store_migrations[STORE_MIGRATIONS];

#endif
