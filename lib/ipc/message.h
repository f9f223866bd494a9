/*
 * Messages between front ends and sekishod: one packet of a SOCK_SEQPACKET
 * socket each, versioned, every length checked.  docs/ipc.md.
 *
 *   0  2  magic "Sk"            8  8  number of the first record (RECORDS),
 *   2  1  version (1)                 or of what is acknowledged (ACK)
 *   3  1  type                 16     payload
 *   4  4  size of the payload
 *
 * Integers are big-endian.
 */

#ifndef SEKISHO_IPC_MESSAGE_H
#define SEKISHO_IPC_MESSAGE_H

#include <stdint.h>

#include "../trail/record.h"

#define MESSAGE_VERSION   1
#define MESSAGE_HEAD_SIZE 16
#define MESSAGE_SIZE_MAX  65536 /* bytes, head and payload */
#define MESSAGE_TEXT_MAX  4096  /* of a reason or a status */
/* A front end's own id: 8 bytes that its whole program shares (nginx: all
 * workers of one zone, over reloads), then 8 of its own. */
#define MESSAGE_FRONT_SIZE    16
#define MESSAGE_INSTANCE_SIZE 8

typedef enum {
    MESSAGE_NONE = 0,
    MESSAGE_HELLO,   /* to sekishod: front id, kind, last number it had acked */
    MESSAGE_WELCOME, /* from it: the last number it holds of that front end,
                        and news */
    MESSAGE_RECORDS, /* to it: records, numbered one after the other */
    MESSAGE_ACK,     /* all up to this number are on disk; may have news, and
                        comes for news alone, too */
    MESSAGE_REFUSED, /* this number is not, and will not be; text: reason */
    MESSAGE_STATUS,  /* to it: how are you? */
    MESSAGE_REPORT,  /* from it: JSON text */
    MESSAGE_CHECKPOINT, /* to it: sign one now */
    MESSAGE_SIGNED,     /* from it: a checkpoint over all so far is on disk */
    MESSAGE_ASK,        /* to it: about a person or a place; otp_message.h */
    MESSAGE_ANSWER,     /* from it: under the same number */
    MESSAGE_TYPES
} message_type_t;

typedef struct {
    message_type_t type;
    uint64_t number;
    const uint8_t *payload; /* points into the packet */
    size_t payload_size;
} message_t;

/* What a peer sent wrong: MESSAGE_BAD_… ; success is not 0. */
typedef enum {
    MESSAGE_BAD = 0,
    MESSAGE_OK,
    MESSAGE_BAD_SIZE,
    MESSAGE_BAD_MAGIC,
    MESSAGE_BAD_VERSION,
    MESSAGE_BAD_TYPE
} message_result_t;

message_result_t message_parse(const uint8_t *bytes, size_t size,
                               message_t *message);
const char *message_strerror(message_result_t result);

/* Writes a whole message; 0 if it does not fit. */
size_t message_write(uint8_t *bytes, size_t capacity, message_type_t type,
                     uint64_t number, const void *payload, size_t size);

/* HELLO's payload. */
typedef struct {
    uint8_t front[MESSAGE_FRONT_SIZE];
    slice_t source; /* "nginx" …: [a-z]{1,16} */
} message_hello_t;

size_t message_write_hello(uint8_t *bytes, size_t capacity, uint64_t number,
                           const message_hello_t *hello);
bool message_parse_hello(const message_t *message, message_hello_t *hello);

/*
 * What front ends show of the daemon, behind the head of WELCOME and ACK.  Older
 * daemons say nothing there, older front ends do not look.
 */
typedef struct {
    int64_t review_due; /* Unix seconds from which on a review is overdue; 0:
                           not known */
} message_news_t;

size_t message_write_news(uint8_t *bytes, size_t capacity, message_type_t type,
                          uint64_t number, const message_news_t *news);
/* False where the message says nothing of it.  What a newer daemon adds behind
 * it is left alone. */
bool message_parse_news(const message_t *message, message_news_t *news);

/*
 * RECORDS: a packet is begun, filled until the next record does not fit, and
 * sent.  A record alone always fits.
 */
typedef struct {
    uint8_t *bytes;
    size_t capacity;
    size_t size;
    unsigned count;
} message_batch_t;

void message_batch_begin(message_batch_t *batch, uint8_t *bytes,
                         size_t capacity, uint64_t first_number);
/* False if it does not fit: send what is there and begin anew. */
bool message_batch_add(message_batch_t *batch, const record_t *record);
/* Size of the finished packet, 0 if it is empty. */
size_t message_batch_end(message_batch_t *batch);

/*
 * Walks through RECORDS.  `*offset` starts at 0.  1: a record; 0: the end;
 * -1: the rest is no records.
 */
int message_next_record(const message_t *message, size_t *offset,
                        record_t *record);

#endif
