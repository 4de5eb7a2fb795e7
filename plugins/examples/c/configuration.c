#include "configuration.h"

#include <string.h>

typedef struct {
  const char *at;
  const char *end;
} reader_t;

// Writes an error. Always answers false, so that a reader can end with it.
static bool refuse(text_t *error, const char *words, const text_t *name) {
  error->length = 0;
  for (const char *from = words; *from != '\0' && error->length < sizeof error->bytes; from++) {
    if (*from != '%') {
      error->bytes[error->length++] = *from;
    } else if (name != NULL) {
      size_t room = sizeof error->bytes - error->length;
      size_t taken = name->length < room ? name->length : room;
      memcpy(error->bytes + error->length, name->bytes, taken);
      error->length += taken;
    }
  }
  return false;
}

static void skip_space(reader_t *in) {
  while (in->at < in->end && strchr(" \t\r\n", *in->at) != NULL && *in->at != '\0') in->at++;
}

// Takes a character if it comes next.
static bool take(reader_t *in, char expected) {
  skip_space(in);
  if (in->at == in->end || *in->at != expected) return false;
  in->at++;
  return true;
}

// Reads four hexadecimal digits.
static bool read_unit(reader_t *in, unsigned *unit) {
  *unit = 0;
  for (int i = 0; i < 4; i++) {
    if (in->at == in->end) return false;
    char c = *in->at++;
    unsigned digit;
    if (c >= '0' && c <= '9') digit = (unsigned)(c - '0');
    else if (c >= 'a' && c <= 'f') digit = (unsigned)(c - 'a') + 10;
    else if (c >= 'A' && c <= 'F') digit = (unsigned)(c - 'A') + 10;
    else return false;
    *unit = *unit << 4 | digit;
  }
  return true;
}

static bool put(text_t *text, unsigned byte) {
  if (text->length == sizeof text->bytes) return false;
  text->bytes[text->length++] = (char)byte;
  return true;
}

static bool put_character(text_t *text, unsigned code) {
  if (code < 0x80) return put(text, code);
  if (code < 0x800) return put(text, 0xc0 | code >> 6) && put(text, 0x80 | (code & 0x3f));
  if (code < 0x10000) {
    return put(text, 0xe0 | code >> 12) && put(text, 0x80 | (code >> 6 & 0x3f)) && put(text, 0x80 | (code & 0x3f));
  }
  return put(text, 0xf0 | code >> 18) && put(text, 0x80 | (code >> 12 & 0x3f)) &&
         put(text, 0x80 | (code >> 6 & 0x3f)) && put(text, 0x80 | (code & 0x3f));
}

// Reads what follows a backslash.
static bool read_escape(reader_t *in, text_t *text) {
  if (in->at == in->end) return false;
  switch (*in->at++) {
    case '"': return put(text, '"');
    case '\\': return put(text, '\\');
    case '/': return put(text, '/');
    case 'b': return put(text, '\b');
    case 'f': return put(text, '\f');
    case 'n': return put(text, '\n');
    case 'r': return put(text, '\r');
    case 't': return put(text, '\t');
    case 'u': break;
    default: return false;
  }
  unsigned unit, low;
  if (!read_unit(in, &unit) || (unit >= 0xdc00 && unit < 0xe000)) return false;
  if (unit < 0xd800 || unit >= 0xe000) return put_character(text, unit);
  // Two units make one character.
  if (in->end - in->at < 2 || in->at[0] != '\\' || in->at[1] != 'u') return false;
  in->at += 2;
  if (!read_unit(in, &low) || low < 0xdc00 || low >= 0xe000) return false;
  return put_character(text, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
}

static bool read_text(reader_t *in, text_t *text) {
  text->length = 0;
  if (!take(in, '"')) return false;
  while (in->at < in->end) {
    unsigned char c = (unsigned char)*in->at++;
    if (c == '"') return true;
    if (c < 0x20) return false;
    if (c == '\\' ? !read_escape(in, text) : !put(text, c)) return false;
  }
  return false;
}

bool configuration_read(const char *json, size_t length, text_t *tag, text_t *error) {
  static text_t key;
  reader_t in = {json, json + length};
  if (length > CONFIGURATION_BYTES) return refuse(error, "the configuration is longer than 4096 bytes", NULL);
  if (!take(&in, '{')) return refuse(error, "the configuration is not a JSON object", NULL);
  if (!take(&in, '}')) {
    do {
      if (!read_text(&in, &key) || !take(&in, ':')) return refuse(error, "not JSON: expected a key", NULL);
      if (key.length != 3 || memcmp(key.bytes, "tag", 3) != 0) {
        return refuse(error, "there is no key `%`; known is `tag`", &key);
      }
      if (!read_text(&in, tag)) return refuse(error, "`tag`: expected a text", NULL);
      if (tag->length == 0) return refuse(error, "`tag` is empty: name the tag that is kept back", NULL);
    } while (take(&in, ','));
    if (!take(&in, '}')) return refuse(error, "not JSON: expected , or }", NULL);
  }
  skip_space(&in);
  return in.at == in.end || refuse(error, "not JSON: something follows the object", NULL);
}
