"""Says where two files of rendered policies differ in meaning: python compare.py TERRAFORM CLOUDFORMATION

A single value and a list of one, and lists in another order, mean the same. Only what the second file
has is compared: CloudFormation makes no role for auditors of one client.
"""

import json
import sys

# Lists that IAM treats as sets, or as any one of.
PLAIN = ("Version", "Sid", "Effect")


def normal(node, key=None):
    if isinstance(node, dict):
        return {name: normal(value, name) for name, value in sorted(node.items())}
    if key in PLAIN:
        return node
    if key == "Statement":
        return sorted((normal(item) for item in node), key=lambda statement: statement["Sid"])
    return sorted(str(item) for item in (node if isinstance(node, list) else [node]))


first, second = (json.load(open(path)) for path in sys.argv[1:3])
differences = 0
compared = 0
for variant, policies in second.items():
    for name, policy in policies.items():
        if name == "kms_key_arn":
            continue
        here, there = normal(first[variant][name]), normal(policy)
        compared += 1
        if here == there:
            continue
        differences += 1
        for statement in here["Statement"]:
            if statement not in there["Statement"]:
                print(f"{variant} {name}: only Terraform has {json.dumps(statement)}")
        for statement in there["Statement"]:
            if statement not in here["Statement"]:
                print(f"{variant} {name}: only CloudFormation has {json.dumps(statement)}")
print(f"{compared} policies compared, {differences} differ")
sys.exit(1 if differences or not compared else 0)
