"""Keys, lists of signers and a time-stamping authority, made by the real tools."""

import subprocess
from pathlib import Path


def run(*words: str | Path, **options) -> subprocess.CompletedProcess:
    return subprocess.run(list(map(str, words)), check=True, capture_output=True, **options)


def make_keys(folder: Path) -> Path:
    """`alice` and `mallory` for SSH, `key.pem` and `other.pem` (with `.pub.pem`) for DSSE, and
    `allowed`, where only alice is a signer.
    """
    for name in ("alice", "mallory"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name)
    alice = (folder / "alice.pub").read_text()
    (folder / "allowed").write_text(f'alice@example.org namespaces="zf-run-v1" {alice}')
    for name in ("key", "other"):
        run("openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / f"{name}.pem")
        pub = folder / f"{name}.pub.pem"
        run("openssl", "pkey", "-in", folder / f"{name}.pem", "-pubout", "-out", pub)
    return folder


def make_authority(folder: Path) -> Path:
    """A time-stamping authority of our own; its certificate is `ca.pem`."""
    (folder / "cnf").write_text(
        "[req]\ndistinguished_name=dn\nx509_extensions=ext\nprompt=no\n[dn]\nCN=Test authority\n"
        "[ext]\nextendedKeyUsage=critical,timeStamping\n"
        "[tsa]\ndefault_tsa=t\n[t]\nserial=serial\nsigner_cert=ca.pem\nsigner_key=ca.key\n"
        "signer_digest=sha256\ndefault_policy=1.2.3.4\ndigests=sha256\nordering=yes\n"
    )
    (folder / "serial").write_text("01\n")
    run(
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-config", "cnf",
        "-keyout", "ca.key", "-out", "ca.pem", "-days", "3650", cwd=folder,
    )  # fmt: skip
    return folder


def stamp(authority: Path, path: Path) -> None:
    """Write the authority's answer beside a file, as `.tsr`."""
    query = ["openssl", "ts", "-query", "-data", path, "-sha256", "-cert", "-out", "query"]
    run(*query, cwd=authority)
    run(
        "openssl", "ts", "-reply", "-config", "cnf", "-section", "t", "-queryfile", "query",
        "-out", f"{path}.tsr", cwd=authority,
    )  # fmt: skip


def der(tag: int, *contents: bytes) -> bytes:
    """One DER value."""
    content = b"".join(contents)
    length = len(content)
    if length < 128:
        return bytes((tag, length)) + content
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + content


def with_status_text(folder: Path, answer: bytes, text: str) -> bytes:
    """An authority's answer with another text in its status, which the signature does not cover."""
    (folder / "answer").write_bytes(answer)
    token = run("openssl", "ts", "-reply", "-in", folder / "answer", "-token_out").stdout
    status = der(0x30, der(0x02, b"\0"), der(0x30, der(0x0C, text.encode())))
    return der(0x30, status, token)
