from __future__ import annotations

import pytest

from bulkhead_sandbox.gateway.content import Scanner, Tags

KNOWN = "live-model-key+with/odd=chars"
TAGS = Tags(b"\x01" * 32, "uid")
SCANNER = Scanner(TAGS, {"model-key": KNOWN, "short": "abc"})
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl_-c2lnbmF0dXJl"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEow+/=\nA=\n-----END RSA PRIVATE KEY-----"
)

SECRETS = {
    "model-key": KNOWN,
    "aws-key": "AKIAIOSFODNN7EXAMPLE",
    "github-token": "ghp_" + "aB3" * 12,
    "gitlab-token": "glpat-" + "x_-9" * 5,
    "google-key": "AIza" + "Sy_-9" * 7,
    "huggingface-token": "hf_" + "abc" * 10,
    "api-key": "sk-proj-" + "aB3_" * 8,
    "slack-token": "xoxb-" + "1234-" * 5,
    "jwt": JWT,
    "private-key": PEM,
}


@pytest.mark.parametrize(("name", "secret"), SECRETS.items(), ids=SECRETS.keys())
def test_secret_is_replaced_by_its_name(name: str, secret: str) -> None:
    """A tool that prints its environment would hand keys to the model, the user and the log."""
    assert SCANNER.text(secret, "alice") == f"[redacted:{name}]"
    assert SCANNER.text(f"a {secret} (b) {secret}", "alice") == f"a [redacted:{name}] (b) [redacted:{name}]"
    assert SCANNER.text(f'{{"k":"{secret}"}}', "alice") == f'{{"k":"[redacted:{name}]"}}'


@pytest.mark.parametrize(
    "secret",
    [
        "ASIA" + "A1" * 8,
        *(f"gh{kind}_" + "a" * 36 for kind in "ousr"),
        "github_pat_" + "A_1" * 20,
        *(f"xox{kind}-" + "a" * 24 for kind in "aps"),
        PEM.replace("RSA ", ""),
        PEM.replace("RSA ", "OPENSSH "),
        PEM.replace("KEY-", "KEY BLOCK-").replace("RSA ", "PGP "),
        PEM.replace("\n", "\\n"),
        "eyJ" + "A" * 9 + "." + "A" * 12,
        "eyJ" + "A" * 509 + "." + "A" * 12,
        "eyJ" + "A" * 5000 + "eyJhbGciOiJFZERTQSJ9." + "B" * 5000,
    ],
)
def test_other_forms_of_the_same_are_replaced_too(secret: str) -> None:
    """Each would be a way past."""
    assert secret[-8:] not in SCANNER.text(f"x {secret} y", "alice")


@pytest.mark.parametrize(
    "text",
    [
        KNOWN[:-1],
        "abc is too short to be known",
        "AKIAIOSFODNN7EXAMPL",
        "ghp_" + "a" * 35,
        "sk-learn and sk-" + "a" * 31,
        "eyJ and eyJhbGciOiJFZERTQSJ9 alone",
        "eyJ" + "A" * 510 + "." + "A" * 12,
        "eyJhbGciOiJFZERTQSJ9.short",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "-----BEGIN " + "A" * 60,
        "[redacted:jwt]",
        "",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Answers would be full of holes."""
    assert SCANNER.text(text, "alice") == text


def test_text_after_an_unfinished_key_is_not_swallowed_to_the_end() -> None:
    """A sentence about keys would end the answer."""
    text = 'It starts with "-----BEGIN PRIVATE KEY-----" and goes on. (So be it.)'
    assert SCANNER.text(text, "alice") == 'It starts with "[redacted:private-key]" and goes on. (So be it.)'


def test_each_replacement_is_told() -> None:
    """Nobody would see a tool that prints keys."""
    names: list[str] = []
    scanner = Scanner(TAGS, {}, on_secret=names.append)
    stream = scanner.stream("alice")
    stream.feed(f"AKIAIOSFODNN7EXAMPLE {JWT} ")
    stream.finish()
    assert names == ["aws-key", "jwt"]


def test_known_secrets_are_not_shown() -> None:
    """The scanner would print in a traceback what it is there to hide."""
    assert KNOWN not in repr(SCANNER)
    assert KNOWN not in repr(vars(SCANNER))
