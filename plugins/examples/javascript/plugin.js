// Keeps back what carries a tag.

import { log } from 'can-sync:plugin/log@0.1.0';

const schema = {
  type: 'object',
  additionalProperties: false,
  properties: { tag: { type: 'string', minLength: 1, default: 'private' } },
};

let tag = 'private';

export const lifecycle = {
  describe() {
    return {
      name: 'example-javascript',
      version: '0.1.0',
      summary: 'Keeps back what carries a tag.',
      configuration: JSON.stringify(schema),
    };
  },

  // What is thrown here as a text is the error that the user reads.
  configure(json) {
    const configuration = JSON.parse(json);
    for (const key of Object.keys(configuration)) {
      if (!Object.hasOwn(schema.properties, key)) throw `there is no key \`${key}\`; known is \`tag\``;
    }
    const value = Object.hasOwn(configuration, 'tag') ? configuration.tag : 'private';
    if (typeof value !== 'string') throw '`tag`: expected a text';
    if (value === '') throw '`tag` is empty: name the tag that is kept back';
    tag = value;
  },
};

export const beforePush = {
  beforePush(asset, context) {
    if (asset.tags.includes(tag)) {
      log('info', `keeping back ${asset.id}`);
      return { tag: 'drop', val: `tagged ${tag}` };
    }
    return { tag: 'pass' };
  },
};
