// Keeps back what carries a tag.

#include <string.h>

#include "bindings/push_filter.h"
#include "configuration.h"

static text_t tag = {"private", 7};

static const char schema[] =
    "{\"type\": \"object\", \"additionalProperties\": false, "
    "\"properties\": {\"tag\": {\"type\": \"string\", \"minLength\": 1, \"default\": \"private\"}}}";

// Arguments belong to the function that is called, which frees them. Results are freed by the bindings once the host has
// copied them, so each is memory of its own.

void exports_can_sync_plugin_lifecycle_describe(exports_can_sync_plugin_lifecycle_description_t *description) {
  push_filter_string_dup(&description->name, "example-c");
  push_filter_string_dup(&description->version, "0.1.0");
  push_filter_string_dup(&description->summary, "Keeps back what carries a tag.");
  description->configuration.is_some = true;
  push_filter_string_dup(&description->configuration.val, schema);
}

bool exports_can_sync_plugin_lifecycle_configure(push_filter_string_t *json, push_filter_string_t *error) {
  static text_t words;
  bool read = configuration_read((const char *)json->ptr, json->len, &tag, &words);
  push_filter_string_free(json);
  if (!read) push_filter_string_dup_n(error, words.bytes, words.length);
  return read;
}

static bool is_tagged(const can_sync_plugin_types_asset_t *asset) {
  for (size_t i = 0; i < asset->tags.len; i++) {
    push_filter_string_t carried = asset->tags.ptr[i];
    if (carried.len == tag.length && memcmp(carried.ptr, tag.bytes, tag.length) == 0) return true;
  }
  return false;
}

// Joins two texts in `room`, shortened to what it holds.
static size_t join(char *room, size_t size, const char *first, const void *second, size_t length) {
  size_t begin = strlen(first);
  if (length > size - begin) length = size - begin;
  memcpy(room, first, begin);
  memcpy(room + begin, second, length);
  return begin + length;
}

void exports_can_sync_plugin_before_push_before_push(can_sync_plugin_types_asset_t *asset,
                                                     can_sync_plugin_types_context_t *context,
                                                     can_sync_plugin_types_verdict_t *verdict) {
  static char room[CONFIGURATION_BYTES + 16];
  verdict->tag = CAN_SYNC_PLUGIN_TYPES_VERDICT_PASS;
  if (is_tagged(asset)) {
    size_t length = join(room, sizeof room, "keeping back ", asset->id.ptr, asset->id.len);
    push_filter_string_t line = {(uint8_t *)room, length};
    can_sync_plugin_log_log(CAN_SYNC_PLUGIN_LOG_LEVEL_INFO, &line);
    length = join(room, sizeof room, "tagged ", tag.bytes, tag.length);
    verdict->tag = CAN_SYNC_PLUGIN_TYPES_VERDICT_DROP;
    push_filter_string_dup_n(&verdict->val.drop, room, length);
  }
  can_sync_plugin_types_asset_free(asset);
  can_sync_plugin_types_context_free(context);
}
