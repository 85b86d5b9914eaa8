"""Lets Microsoft Presidio read lines: one JSON string a line in, one JSON list of [entity, start, end, score] out.

Its default registry of recognisers, and those for health care that it leaves switched off, on a blank spaCy model:
the language models that it would download come from no package registry. So its patterns, checks and context words work; names and places, which need a model, do not.
"""

import json
import logging
import os
import sys

# Everything that is needed is installed: nothing may be fetched.
os.environ["HF_HUB_OFFLINE"] = "1"

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import (
    UsHealthInsuranceMemberIdRecognizer,
    UsMbiRecognizer,
    UsNpiRecognizer,
)
from spacy.language import Language

logging.disable(logging.WARNING)


@Language.component("lowered_words")
def lowered_words(doc):
    """Stands in for the lemmas of a model, which context words are compared with."""
    for token in doc:
        token.lemma_ = token.lower_
    return doc


class BlankNlpEngine(SpacyNlpEngine):
    """spaCy's tokeniser and stop words for English, without a model."""

    def __init__(self):
        super().__init__(models=[{"lang_code": "en", "model_name": "blank"}])
        blank = spacy.blank("en")
        blank.add_pipe("lowered_words")
        self.nlp = {"en": blank}

    def load(self):
        pass

    def is_loaded(self):
        return True


def main():
    # The list of public suffixes that the package ships, not one from the network.
    offline = tldextract.TLDExtract(suffix_list_urls=())
    tldextract.extract = offline
    tldextract.tldextract.TLD_EXTRACTOR = offline
    registry = RecognizerRegistry(supported_languages=["en"])
    registry.load_predefined_recognizers(languages=["en"])
    for recognizer in (UsHealthInsuranceMemberIdRecognizer, UsMbiRecognizer, UsNpiRecognizer):
        registry.add_recognizer(recognizer())
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=BlankNlpEngine(), supported_languages=["en"])
    for line in sys.stdin:
        found = analyzer.analyze(text=json.loads(line), language="en")
        print(json.dumps([[r.entity_type, r.start, r.end, r.score] for r in found]))


main()
