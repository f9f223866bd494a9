"""The officer's part: a report of this very story, a patient's list, a review,
and evidence that somebody else checks without Sekisho."""

import json
import os
import re
import subprocess
import tarfile

import stage
from story import DONE, command

REVIEWED = ("done", "open", "error")


def patient(play):
    """Whose the CT study is: made up, like all of it."""
    return play.study("CT")["patient"]["id"]


def report(play):
    """The security officer's report of this story"""
    play.wait_for_rest()
    page = os.path.join(play.folder, "report.html")
    status, _, errors = command(
        play, DONE, "audit", "report", "--lang", "en", "--config",
        play.sekishod.config, "-o", page)
    play.check(status == 0, "no report: %s" % errors)
    text = stage.read(page)
    play.check("aoba-clinic" in text and "unknown-network" in text,
               "it tells of facilities and denials")
    play.check(not re.search(r"(?:src|href)=[\"']?https?:", text),
               "it needs no network")
    play.screen.text("One file of %s bytes, that opens anywhere; its table "
                     "filters, and each figure leads to its records."
                     % format(os.path.getsize(page), ","))


def patient_report(play):
    """A patient asks: who opened my images?"""
    page = os.path.join(play.folder, "patient.html")
    status, _, errors = command(
        play, DONE, "audit", "report", "--patient", patient(play), "--lang",
        "en", "--config", play.sekishod.config, "-o", page)
    play.check(status == 0, "no list for the patient: %s" % errors)
    text = re.sub(r"(?is)<style.*?</style>|<[^>]*>", " ", stage.read(page))
    lines = [" ".join(line.split()) for line in text.split("\n")]
    play.screen.quote("\n".join(line for line in lines if line)[:1200])
    play.check("Aoba" in text, "it names the clinic")


def review(play):
    """The officer looks at what is out of the ordinary, and signs for it"""
    conf = ("--config", play.sekishod.config)
    _, output, _ = stage.sekisho("audit", "review", "--list", "--all",
                                 "--json", *conf)
    found = json.loads(output)
    findings = found["findings"] if isinstance(found, dict) else found
    status, _, errors = command(play, REVIEWED, "audit", "review", "--list",
                                *conf)
    play.check(status in (0, 1), "no findings: %s" % errors)
    decisions = []
    for finding in findings:
        decisions += ["--finding", "%s=explained:played by the demonstration"
                      % finding["id"]]
    status, _, errors = command(
        play, REVIEWED, "audit", "review", *decisions, "--note",
        "looked at with the head of radiology", *conf)
    play.check(status == 0, "the review is not signed: %s" % errors)
    output = command(play, ("found", "nothing found", "error"), "audit",
                     "search", "--event", "review", *conf)[1]
    play.check("review" in output, "the review is on record")


def evidence(play):
    """An auditor gets evidence, and checks it without Sekisho"""
    tar = os.path.join(play.folder, "evidence.tar")
    status, _, errors = command(
        play, DONE, "audit", "evidence", "--patient", patient(play), "--lang",
        "en", "--config", play.sekishod.config, "-o", tar)
    play.check(status == 0, "no evidence: %s" % errors)
    with tarfile.open(tar) as archive:
        names = archive.getnames()
        archive.extractall(os.path.join(play.folder, "evidence"))
    script = next(name for name in names if name.endswith("verify.sh"))
    folder = os.path.join(play.folder, "evidence", os.path.dirname(script))
    play.screen.field("$", "tar xf evidence.tar && sh %s" % script, "bold")
    done = subprocess.run(["sh", "verify.sh"], cwd=folder, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    play.screen.quote(done.stdout)
    play.check(done.returncode == 0, "the evidence does not hold")


STEPS = (report, patient_report, review, evidence)
