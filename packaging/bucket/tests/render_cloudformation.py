"""Prints the policies of the CloudFormation templates, resolved with the parameters of the tests.

    python render_cloudformation.py > rendered.json

The same shape as the output `rendered` of render/main.tf. Knows the few functions that the templates
use and refuses every other.
"""

import json
import pathlib
import re
import sys

import yaml

TEMPLATES = pathlib.Path(__file__).parent.parent / "cloudformation"
KEY_ARN = "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555"
PSEUDO = {"AWS::Partition": "aws", "AWS::AccountId": "111122223333"}
ATTRIBUTES = {
    "Key.Arn": KEY_ARN,
    "OperationsRole.Arn": "arn:aws:iam::111122223333:role/msp-evidence-operations",
}
NO_VALUE = object()


class Loader(yaml.SafeLoader):
    """Reads `!Ref x` as {"Ref": x} and `!Sub x` as {"Fn::Sub": x}."""


def _tagged(loader, suffix, node):
    construct = {
        yaml.ScalarNode: loader.construct_scalar,
        yaml.SequenceNode: lambda n: loader.construct_sequence(n, deep=True),
        yaml.MappingNode: lambda n: loader.construct_mapping(n, deep=True),
    }[type(node)]
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": construct(node)}


Loader.add_multi_constructor("!", _tagged)


class Stack:
    def __init__(self, name, parameters):
        self.template = yaml.load((TEMPLATES / name).read_text(), Loader)
        self.values = dict(PSEUDO)
        for key, parameter in self.template["Parameters"].items():
            value = str(parameters.pop(key, parameter.get("Default")))
            is_list = parameter["Type"] == "CommaDelimitedList"
            pattern = parameter.get("AllowedPattern")
            for item in value.split(",") if is_list else [value]:
                if pattern and not re.search(pattern, item):
                    raise ValueError(f"{name}: {key}={item!r} is not of the form {pattern}")
            self.values[key] = value.split(",") if is_list else value
        if parameters:
            raise ValueError(f"{name} has no parameters {sorted(parameters)}")

    def condition(self, name):
        return self.resolve(self.template["Conditions"][name])

    def resolve(self, node):
        if isinstance(node, list):
            resolved = (self.resolve(item) for item in node)
            return [item for item in resolved if item is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (function, argument), = node.items()
            if function == "Ref":
                if argument == "AWS::NoValue":
                    return NO_VALUE
                # Of a resource it is a name, which no policy asks for.
                return argument if argument in self.template["Resources"] else self.values[argument]
            if function.startswith("Fn::"):
                return self.call(function[4:], argument)
        resolved = {key: self.resolve(value) for key, value in node.items()}
        return {key: value for key, value in resolved.items() if value is not NO_VALUE}

    def call(self, function, argument):
        if function == "If":
            name, yes, no = argument
            return self.resolve(yes if self.condition(name) else no)
        if function == "GetAtt":
            return ATTRIBUTES[argument]
        argument = self.resolve(argument)
        if function == "Sub":
            return re.sub(r"\$\{([A-Za-z:]+)\}", lambda found: self.values[found[1]], argument)
        if function == "Join":
            return argument[0].join(argument[1])
        if function == "Split":
            return argument[1].split(argument[0])
        if function == "Equals":
            return argument[0] == argument[1]
        if function == "Not":
            return not argument[0]
        raise ValueError(f"Fn::{function} is not known here")

    def properties(self, resource):
        return self.resolve(self.template["Resources"][resource]["Properties"])


def rendered(kms):
    bucket = Stack("bucket.yaml", {
        "BucketName": "example-evidence",
        "AdminRoleArns": "arn:aws:iam::111122223333:role/evidence-admin",
        "UseKms": "true" if kms else "false",
        "AuditorPrincipalArns": "arn:aws:iam::444455556666:role/auditor",
        "OperationsPrincipalArns": "arn:aws:iam::444455556666:role/operator",
    })
    writer = Stack("writer.yaml", {
        "BucketName": "example-evidence",
        "ClientId": "clinic-012",
        "HostId": "srv-1",
        "TrustedPrincipalArns": "arn:aws:iam::444455556666:role/srv-1",
        "KeyArn": KEY_ARN if kms else "",
    })
    role = lambda stack, name: stack.properties(name)["Policies"][0]["PolicyDocument"]
    return {
        "bucket": bucket.properties("BucketPolicy")["PolicyDocument"],
        "writer": role(writer, "WriterRole"),
        "auditor": role(bucket, "AuditorRole"),
        "operations": role(bucket, "OperationsRole"),
        "key": bucket.properties("Key")["KeyPolicy"],
        "kms_key_arn": KEY_ARN if kms else None,
    }


if __name__ == "__main__":
    json.dump({"plain": rendered(False), "kms": rendered(True)}, sys.stdout, indent=1)
