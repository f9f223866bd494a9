/*
 * sekishod.conf(5): nginx's syntax, the same kind of messages as the policy.
 * Read by the daemon, and by the command line, which finds the trail in it.
 */

#ifndef SEKISHO_IPC_DAEMON_CONFIG_H
#define SEKISHO_IPC_DAEMON_CONFIG_H

#include <stdint.h>
#include <sys/types.h>

#include "../base/conf.h"
#include "../otp/otp.h"

#define CONFIG_FILE         "/etc/sekisho/sekishod.conf"
#define CONFIG_WEB_UIDS_MAX 8
#define CONFIG_KEYS_MAX     2
#define CONFIG_ISSUER_MAX   64 /* bytes */

/* A number of otp_rules_t that is not given: otp_rules_default() has it. */
#define CONFIG_NOT_GIVEN UINT32_MAX

typedef struct {
    conf_t *conf; /* owns the texts below */
    const char *socket;
    const char *trail;
    slice_t origin; /* of checkpoints: the log's name */
    /* files of the signing keys: each signs; two during a rotation */
    const char *keys[CONFIG_KEYS_MAX];
    unsigned keys_count;
    const char *policy; /* image whose version heartbeats tell; may be NULL */
    const char *geoip;  /* MaxMind DB for `country` rules at doors; or NULL */
    uid_t web_uids[CONFIG_WEB_UIDS_MAX]; /* may send records of the web */
    unsigned web_uids_count;
    const char *index; /* audit.db; NULL: off */
    uint64_t journal_bytes;
    uint64_t reserve_bytes;
    uint64_t heartbeat_seconds;
    uint64_t orphan_seconds; /* an opening whose front end is gone this long */
    bool places_off;         /* doors are not asked for a place */
    const char *otp_store;   /* NULL: no one-time codes here */
    const char *otp_key;
    slice_t otp_issuer; /* shown by phones */
    otp_rules_t otp_rules;
    bool otp_self_service_off;
    const char *emergency; /* folder of the hosts' emergency codes */
} config_t;

/*
 * Reads and checks; every error goes to the report.  NULL if there was one.
 * Freed by config_free(), which takes NULL.
 */
config_t *config_read(const char *path, report_t *report);
void config_free(config_t *config);

/* The rules with the defaults where the configuration says nothing. */
otp_rules_t config_otp_rules(const config_t *config,
                             const otp_rules_t *defaults);

#endif
