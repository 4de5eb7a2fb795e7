"""Keeps back what carries a tag."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.lifecycle import Description
from wit_world.imports.log import Level, log
from wit_world.imports.types import Asset, Context, Verdict, Verdict_Drop, Verdict_Pass

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"tag": {"type": "string", "minLength": 1, "default": "private"}},
}

tag = "private"


class Lifecycle(exports.Lifecycle):
    def describe(self) -> Description:
        return Description("example-python", "0.1.0", "Keeps back what carries a tag.", json.dumps(SCHEMA))

    # What is raised here as `Err` is the error that the user reads; every other exception ends the instance.
    def configure(self, json_text: str) -> None:
        global tag
        configuration = json.loads(json_text)
        for key in configuration:
            if key not in SCHEMA["properties"]:
                raise Err(f"there is no key `{key}`; known is `tag`")
        value = configuration.get("tag", "private")
        if not isinstance(value, str):
            raise Err("`tag`: expected a text")
        if value == "":
            raise Err("`tag` is empty: name the tag that is kept back")
        tag = value


class BeforePush(exports.BeforePush):
    def before_push(self, asset: Asset, context: Context) -> Verdict:
        if tag in asset.tags:
            log(Level.INFO, f"keeping back {asset.id}")
            return Verdict_Drop(f"tagged {tag}")
        return Verdict_Pass()
