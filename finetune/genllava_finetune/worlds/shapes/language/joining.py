"""Ways to put two requests into one message, and to say which picture a request is about."""

from __future__ import annotations

from typing import Final

from genllava_finetune.worlds.shapes.language.grammar import Intent

JOINED: Final = Intent(
    "edit.joined",
    [
        "{one} and {other}",
        "{one}, then {other}",
        "{one} and then {other}",
        "{one}. {other}",
        "{one}. (then|now|next|also|and) {other}",
        "(first|first,|first of all) {one}, (then|and then|after that|then please) {other}",
        "{one}; {other}",
        "{one} and (also|afterwards|at the same time) {other}",
        "{one}, and {other}",
        "{one}(.|,) (also|in addition|besides that) {other}",
        "(please|can you|could you|i want you to|i'd like you to|would you|now) {one} and {other}",
        "(please|can you|could you|first|now) {one}(,|) (then|and then) {other}",
        "two (things|changes|edits|steps): {one} and {other}",
        "(make two changes|do two things): {one}(,| and) {other}",
        "{one} and {other}(,|) please",
        "1. {one} 2. {other}",
        "{one}, and (after that|afterwards|also|finally|next) {other}",
        "after you {one}, {other}",
        "{one} & {other}",
    ],
)

IN_PICTURE: Final = Intent(
    "edit.named",
    [
        "in {picture}(,|:) {request}",
        "{request} in {picture}",
        "{picture}: {request}",
        "for {picture}(,|:) {request}",
        "(take|edit|use|go back to|look at|open|change) {picture}(:|,) {request}",
        "(take|use|go back to|open) {picture} and {request}",
        "on {picture}(,|) {request}",
        "(now|please|can you|could you)(,|) in {picture}(,|) {request}",
        "(about|regarding|with|back to|concerning) {picture}(:|,) {request}",
        "(please|now|can you|could you|i want you to) {request} in {picture}",
        "i mean {picture}(:|,) {request}",
        "this time (in|on|for) {picture}: {request}",
        "{request}(,| -) (but|only) in {picture}",
    ],
)

STEPS: Final = Intent(
    "steps",
    [
        "{one}, then {other}",
        "{one} and then {other}",
        "{one}. {other}",
        "{one}. (then|now|next|and) {other}",
        "(first|first,|first of all,) {one}, (then|and then|after that|next) {other}",
        "{one} and {other}",
        "{one}; {other}",
        "{one}(,|.) (after that|afterwards|next|finally|then please) {other}",
        "{one}, and {other}",
        "1. {one} 2. {other}",
        "a: {one}, b: {other}",
        "(two|2) (things|steps): {one}, then {other}",
        "(please|can you|could you|i want you to) {one}(,|) (then|and then) {other}",
        "(i want two things:|step one:|to begin:) {one}, (step two:|and then|then) {other}",
        "{one}(.|,) (once|when|as soon as) (that is|that's|you are) done, {other}",
        "(start with this:|begin with this:) {one}. (then|and then) {other}",
    ],
)
"""Two requests in one message: a new picture and what to change in it."""

STEPS_TELL: Final = Intent(
    "steps.tell",
    [
        "{one}, then tell me: {other}",
        "{one} and (tell me|say|answer|answer me): {other}",
        "{one}. {other}?",
        "{one}. (now|so|and|and now|then|next) {other}?",
        "{one}, (then answer|then say|and tell me|and answer)(:|,) {other}",
        "(first|first,|first of all,) {one}, then (tell me|answer|say)(:|,) {other}",
        "{one} and then {other}?",
        "{one}; {other}?",
        "{one}. (after that|afterwards|next|finally)(,|:) {other}?",
        "1. {one} 2. {other}",
        "(please|can you|could you|i want you to) {one}. {other}?",
        "{one}(.|,) (once|when|as soon as) (that is|that's|you are) done, {other}?",
        "{one}. (i also want to know|i'd like to know|i want to know|let me know)(:|,) {other}",
        "(two|2) (things|steps): {one}, then {other}",
    ],
)
"""Two requests in one message: a question comes second."""

STEPS_AFTER_QUESTION: Final = Intent(
    "steps.after_question",
    [
        "{one}? {other}",
        "{one}? (then|now|and|and then|and now|also|next) {other}",
        "(first tell me|tell me first|first)(:|,) {one}? (then|and then|after that|next) {other}",
        "{one}? (after that|afterwards|when you know|once you know)(,|) {other}",
        "(answer this|tell me this|tell me|say): {one}. (then|and then|now|next) {other}",
        "1. {one} 2. {other}",
        "{one}, (then|and then|after that) {other}",
        "(i want to know|i'd like to know|let me know)(:|,) {one}? (then|and then|now) {other}",
        "(two|2) (things|steps): {one}? (and|then|also) {other}",
    ],
)
"""Two requests in one message: a question comes first."""
