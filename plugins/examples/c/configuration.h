// Reads the configuration: a JSON object whose only key is `tag`, a text.

#ifndef CONFIGURATION_H
#define CONFIGURATION_H

#include <stdbool.h>
#include <stddef.h>

// The longest configuration that is read.
#define CONFIGURATION_BYTES 4096

// A text that is not ended by zero.
typedef struct {
  char bytes[CONFIGURATION_BYTES];
  size_t length;
} text_t;

// Reads the tag into `tag`, which is left alone when the key is not there. Otherwise says in `error` what is wrong.
bool configuration_read(const char *json, size_t length, text_t *tag, text_t *error);

#endif
