"""The story, a function per step; its docstring is the headline.

A new step is a new function in STORY: the number on the screen is its place.
"""

import html
import os
import re
import shutil
import struct
import time

import stage
from play import VPN_LINE, shorten, studies_found


def search(play):
    """The clinic looks for its patients"""
    answer = play.ask(
        play.aoba, "GET", "/dicom-web/studies?PatientName=DEMO*", "ok",
        accept="application/dicom+json", show=studies_found)
    play.check(len(answer.json()) == 3, "the search finds three studies")
    residue = answer.header("Cache-Control")
    play.check("no-store" in residue, "the answer may not be kept anywhere")
    play.screen.text("Nothing may stay in the browser: the answer came with "
                     "Cache-Control: %s." % residue)


def view(play):
    """… and opens a study: the series, then an image"""
    study = play.study("CT")
    series = study["series"][0]
    base = "/dicom-web/studies/%s/series/%s" % (study["study"],
                                                series["series"])

    def slices(answer):
        return "metadata of %d slices" % len(answer.json())
    answer = play.ask(play.aoba, "GET", base + "/metadata", "ok",
                      accept="application/dicom+json", show=slices)
    play.check(len(answer.json()) == 20, "the series has 20 slices")

    def picture(answer):
        width, height = struct.unpack(">II", answer.body[16:24])
        return "a picture of %d by %d pixels, %s bytes" % (
            width, height, format(len(answer.body), ","))
    middle = series["instances"][9]["instance"]
    answer = play.ask(
        play.aoba, "GET", base + "/instances/%s/rendered" % middle, "ok",
        accept="image/png", show=picture, quiet=True)
    play.check(answer.body.startswith(b"\x89PNG"), "the frame is a picture")
    with open(os.path.join(play.folder, "slice.png"), "wb") as out:
        out.write(answer.body)


def unknown(play):
    """Somebody on an unknown network tries the same"""
    answer = play.ask(play.stranger, "GET",
                      "/dicom-web/studies?PatientName=DEMO*",
                      "unknown-network", accept="text/html")
    text = page_text(answer.body.decode())
    play.screen.text("What they see tells nothing about facilities:")
    play.screen.quote("\n".join(text))
    for name in ("Aoba", "Midori", "Sakura", "IT desk"):
        play.check(name not in " ".join(text),
                   "a stranger does not learn about %s" % name)


def closed(play):
    """A clinic outside its hours"""
    play.screen.text("It is open on %s; now it is %s in Tokyo." % (
        play.values["OTHER_DAYS"].replace("00 ", "00 and "), play.tokyo()))
    answer = play.ask(play.sakura, "GET", "/dicom-web/studies", "closed",
                      accept="text/html")
    play.screen.text("A known facility is told whom to call:")
    play.screen.quote("\n".join(page_text(answer.body.decode())))
    play.check("Reception" in answer.body.decode(),
               "the page tells the facility's contact")


def no_certificate(play):
    """The clinic's network, but a terminal without a certificate"""
    play.ask(play.aoba_bare, "GET", "/dicom-web/studies", "device-missing")


def other_certificate(play):
    """The clinic's network, but the hospital's certificate"""
    play.ask(play.aoba_with_midori, "GET", "/dicom-web/studies",
             "device-unknown")


def vpn(play):
    """The hospital, beside its VPN line, then on it"""
    play.ask(play.midori, "GET", "/dicom-web/studies?PatientName=DEMO*",
             "wrong-ingress")
    play.ask(play.midori, "GET", "/dicom-web/studies?PatientName=DEMO*", "ok",
             accept="application/dicom+json", show=studies_found,
             line=VPN_LINE)


def download(play):
    """Taking a whole study away: the clinic may not, the hospital may"""
    path = archive(play)
    play.ask(play.aoba, "GET", path, "action-not-allowed")
    answer = play.ask(play.midori, "GET", path, "ok", show=zip_size,
                      line=VPN_LINE)
    play.check(answer.body.startswith(b"PK"), "the answer is a ZIP archive")


def watched(play):
    """A facility in dry-run: let in, and noted what enforcing would refuse"""
    play.ask(play.kawa, "GET", "/dicom-web/studies?PatientName=DEMO*",
             "dry-run", accept="application/dicom+json", show=studies_found)
    play.screen.text("error.log has what enforcing would have done:")
    play.show_log("kawa-laboratory", "dry run")


def explain(play):
    """The administrator asks why the clinic's download was refused"""
    arguments = ["policy", "explain", play.aoba.address, "--action",
                 "download", "--certificate", play.aoba.certificate.pem,
                 "--policy", play.image]
    status, output, errors = command(play, ALLOWED, *arguments)
    play.check(status == 1, "explain exits with 1 for a denial, not %d: %s"
               % (status, errors))
    play.check("action-not-allowed" in output, "explain names the reason")


def change(play):
    """The policy is changed while everything runs: the clinic may download"""
    before = stage.read(play.policy)
    after = before.replace("actions     query view;",
                           "actions     query view download;", 1)
    old = os.path.join(play.folder, "facilities.old.conf")
    stage.write(old, before)
    stage.write(play.policy, after)
    workers = play.nginx.workers()

    status, _, errors = command(play, SAME, "policy", "diff", old,
                                play.policy)
    play.check(status == 1, "diff finds a difference: %s" % errors)
    status, _, errors = command(
        play, DONE, "policy", "apply", play.policy, "--image", play.image,
        "--config", play.sekishod.config,
        "--note", "Aoba may download, ticket 4711")
    play.check(status == 0, "apply failed: %s" % errors)
    seconds = wait_for(play, play.aoba, archive(play))
    play.screen.text("%.1f s later every worker has it, and the same request "
                     "again:" % seconds)
    answer = play.ask(play.aoba, "GET", archive(play), "ok", show=zip_size)
    play.check(answer.body.startswith(b"PK"), "the answer is a ZIP archive")
    play.check(play.nginx.workers() == workers,
               "nginx was not reloaded: its workers are the same")
    if workers:
        play.screen.text("Without a reload: nginx's workers are still %s."
                         % " and ".join(map(str, workers)))


def home(play):
    """Radiologists on the road are added: any network, by certificate"""
    play.ask(play.home, "GET", "/dicom-web/studies?PatientName=DEMO*",
             "unknown-network")
    text = stage.read(os.path.join(play.sources, "home-readers.conf"))
    with open(play.policy, "a", encoding="utf-8") as policy:
        policy.write(stage.fill_in(text, play.values))
    status, _, errors = command(
        play, DONE, "policy", "apply", play.policy, "--image", play.image,
        "--config", play.sekishod.config,
        "--note", "home readers, agreed on 20 November")
    play.check(status == 0, "apply failed: %s" % errors)
    wait_for(play, play.home, "/dicom-web/studies")
    play.ask(play.home, "GET", "/dicom-web/studies?PatientName=DEMO*", "ok",
             accept="application/dicom+json", show=studies_found)


def broken_text(play):
    """A policy with mistakes is refused, and the old one stays"""
    broken = os.path.join(play.folder, "broken.conf")
    text = stage.read(play.policy)
    text = text.replace("device      required;", "devise      required;", 1)
    text = text.replace("127.0.10.2;", "127.0.10.256;", 1)
    stage.write(broken, text)
    image = open_bytes(play.image)
    status, _, errors = command(play, DONE, "policy", "apply", broken,
                                "--image", play.image)
    play.check(status == 2, "apply exits with 2, not %d" % status)
    for word in ("broken.conf:", "devise", "127.0.10.256"):
        play.check(word in errors, "the message names %s" % word)
    play.check(open_bytes(play.image) == image, "the image is untouched")
    play.ask(play.aoba, "GET", "/dicom-web/studies?PatientName=DEMO*", "ok",
             accept="application/dicom+json", show=studies_found)


def broken_image(play):
    """A damaged image is refused by nginx, and the old one stays"""
    good = open_bytes(play.image)
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    replace(play.image, bytes(bad))
    play.screen.text("One bit of policy.img is flipped behind nginx's back.  "
                     "error.log:")
    line = play.log_line(play.nginx.error_log, "policy.img",
                         r"\[(error|crit|alert|emerg)\]")
    play.screen.quote(re.sub(r"^\S+ \S+ (\[\w+\]) [\d#]+: ", r"\1 ", line))
    play.ask(play.aoba, "GET", "/dicom-web/studies?PatientName=DEMO*", "ok",
             accept="application/dicom+json", show=studies_found)
    replace(play.image, good)


def unrecorded(play):
    """The recorder stops: nobody opens what cannot be recorded"""
    path = "/dicom-web/studies/%s/metadata" % play.study("MR")["study"]
    play.sekishod.stop()
    play.screen.text("sekishod, which keeps the trail, is down.")
    play.ask(play.aoba, "GET", path, "audit-unavailable", status=503,
             accept="application/dicom+json")
    play.sekishod.start()
    play.wait_for_recorder()
    play.screen.text("It is back, and the same request again:")
    play.ask(play.aoba, "GET", path, "ok", accept="application/dicom+json",
             show=lambda answer: "metadata of %d images" % len(answer.json()),
             quiet=True)


def timeline(play):
    """The officer asks the trail: what happened here?"""
    play.wait_for_rest()
    play.screen.text("Who opened the CT study, from where, and how much of it:")
    output = audit(play, "search", "--study",
                   play.study("CT")["study"])
    for word in ("access ", "127.0.10.1", "aoba-clinic", "requests 2",
                 "duration"):
        play.check(word in output, "the trail tells \"%s\"" % word)

    play.screen.text("Who was turned away, and why:")
    output = audit(play, "search", "--event", "denied")
    for reason in ("unknown-network", "closed", "device-missing",
                   "device-unknown", "wrong-ingress", "action-not-allowed"):
        play.check("reason %s" % reason in output,
                   "the trail tells the denial %s" % reason)
    play.check("127.0.10.99" in output, "it tells the stranger's address")
    play.screen.text("What was refused while sekishod was down is told within "
                     "a minute.")

    play.screen.text("Who changed the policy:")
    output = audit(play, "search", "--event", "policy-changed")
    play.check("ticket 4711" in output, "it tells the note")

    play.screen.text("When the recorder was down:")
    for event, times in (("stop", 1), ("start", 2)):
        output = audit(play, "search", "--event", event)
        play.check(len(output.splitlines()) == times,
                   "the trail tells %d %s" % (times, event))

    play.screen.text("The last of it.  These questions are recorded, too:")
    output = audit(play, "tail", "-n", "7")
    play.check("trail-read" in output and "query audit search" in output,
               "the trail tells who read it")


def verified(play):
    """An auditor checks a copy of the trail: whole, and unchanged"""
    play.wait_for_rest()
    status, _, errors = stage.sekisho(
        "audit", "checkpoint", "--config", play.sekishod.config, "-o",
        os.path.join(play.folder, "kept-checkpoint"))
    play.check(status == 0, "no checkpoint: %s" % errors)
    play.screen.text("The folder was copied to another machine, where there is "
                     "nothing of this one but the verifier key:")
    play.screen.quote(stage.read(play.sekishod.verifier_key))
    settled_copy(play)
    status, output, errors = verify(play)
    play.check(status == 0, "the copy does not verify: %s" % errors)
    play.check("OK" in output, "verify says OK")
    limits = output[output.index("What nothing"):]
    play.screen.text(" ".join(limits.split()))


def tampered(play):
    """Somebody changes one byte of the copy, to blame another address"""
    path, data = next(
        (path, data) for path, data in bundles(copy_of(play))
        if b'"event":"access","outcome":0' in data)
    at = data.index(b'"event":"access","outcome":0')
    at = data.index(b'"address":"127.0.10.1"', at) + len(b'"address":"127.0.10.')
    old = data[at:at + 1]
    changed = bytearray(data)
    changed[at:at + 1] = b"7"
    with open(path, "wb") as out:
        out.write(changed)
    play.screen.text("In an access, 127.0.10.%s is made 127.0.10.7: %s, byte "
                     "%d." % (old.decode(), os.path.relpath(
                         path, play.folder), at))
    status, output, errors = verify(play)
    play.check(status == 3, "the change is not found: %d %s" % (status, errors))
    play.check("TAMPERED" in output, "verify says TAMPERED")
    play.check("tile/entries/" in output, "it names the file")


def proven(play):
    """One record is proven to somebody who may not see the others"""
    output = audit(play, "search", "--event", "access", "--facility",
                   "aoba-clinic", "--action", "download", "--limit", "1")
    index = output.split()[0]
    proof = os.path.join(play.folder, "proof")
    status, _, errors = command(
        play, DONE, "audit", "prove", index, "--config",
        play.sekishod.config, "-o", proof)
    play.check(status == 0, "no proof: %s" % errors)
    text = stage.read(proof)
    play.check(text.startswith("c2sp.org/tlog-proof@v1\nindex %s\n" % index),
               "it is a proof of entry %s" % index)
    play.screen.text("The proof: hashes from the record up to the signed root.  "
                     "docs/verify-by-hand.md checks one with sha256sum and "
                     "openssl.")
    play.screen.quote(text)


STORY = (search, view, unknown, closed, no_certificate, other_certificate,
         vpn, download, watched, explain, change, home, broken_text,
         broken_image, unrecorded, timeline, verified, tampered, proven)


# ---- What several steps use -------------------------------------------------

ALLOWED = ("allowed", "denied", "error")
SAME = ("no difference", "different", "error")
DONE = ("done", "not done", "error")
VERIFIED = ("OK", "?", "could not be verified", "TAMPERED", "GAP", "UNSEALED")


def archive(play):
    return "/studies/%s/archive" % play.study("CT")["orthanc"]


def zip_size(answer):
    return "a ZIP archive of %s bytes" % format(len(answer.body), ",")


def command(play, meaning, *arguments, edit=lambda text: text):
    """Runs and shows a sekisho command as an administrator would type it;
    `meaning` is that of its exit statuses, `edit` makes it shorter."""
    shown = [re.sub("^%s/" % re.escape(play.folder), "", word)
             for word in arguments]
    shown = [edit("'%s'" % word if " " in word else word) for word in shown]
    play.screen.field("$", "sekisho " + " ".join(shown), "bold")
    status, output, errors = stage.sekisho(*arguments)
    text = (output + errors).replace(play.folder + "/", "")
    text = re.sub(r"(sha256:[0-9a-f]{8})[0-9a-f]{48}([0-9a-f]{8})", r"\1…\2",
                  text)
    if text.strip():
        play.screen.quote(edit(text))
    play.screen.field("exit", "%d, %s" % (status, meaning[status]))
    return status, output, errors


def audit(play, *arguments):
    """What the trail says; on the screen without today's date, and with long
    numbers cut."""
    def edit(text):
        text = re.sub(r"(?m)^(\d+ +)\d{4}-\d\d-\d\d (?=\d\d:)", r"\1", text)
        return re.sub(r"(?<=\S) {3,}", "  ", shorten(text))
    status, output, errors = command(
        play, ("found", "nothing found", "error"), "audit", *arguments,
        "--config", play.sekishod.config, edit=edit)
    play.check(status == 0, "the trail has nothing of it: %s" % errors)
    return output


def verify(play):
    """Verifies the copy; on the screen without what it says of its limits."""
    return command(
        play, VERIFIED, "audit", "verify", "--trail", copy_of(play), "--key",
        play.sekishod.verifier_key,
        edit=lambda text: text.partition("\n\nWhat nothing")[0])


def copy_of(play):
    return os.path.join(play.folder, "copy")


def settled_copy(play):
    """Copies the trail at a moment at which nothing is written.

    A record that arrives meanwhile does no harm to a copy, but leaves it
    UNSEALED, and that is another story.
    """
    def attempt():
        shutil.rmtree(copy_of(play), ignore_errors=True)
        try:
            shutil.copytree(play.sekishod.trail, copy_of(play))
        except shutil.Error:
            return False  # a partial tile that was replaced
        status, _, _ = stage.sekisho(
            "audit", "verify", "--trail", copy_of(play), "--key",
            play.sekishod.verifier_key)
        return status != 5
    stage.wait_for(attempt, 10, "a moment of rest")


def bundles(trail):
    """The files of entries of a small trail, and what is in them."""
    for folder, _, files in os.walk(os.path.join(trail, "tile", "entries")):
        for name in sorted(files):
            path = os.path.join(folder, name)
            yield path, open_bytes(path)


def wait_for(play, client, path):
    """Every worker takes a new image over within a second.

    Asks on the quiet until it is so, and tells how long that was; what the
    story shows is the request after it.
    """
    def allowed():
        answers = [client.request(play.nginx.port, "GET", path)
                   for _ in range(4)]
        return all(answer.status == 200 for answer in answers)
    start = time.monotonic()
    stage.wait_for(allowed, 5, "the new policy")
    return time.monotonic() - start


def page_text(page):
    """The text of a denial page, line by line."""
    page = re.sub(r"(?is)<(style|script|title).*?</\1>", "", page)
    page = re.sub(r"(?i)<(br|/p|/h\d|/dt|/dd|/li|/div|/tr)\b[^>]*>", "\n",
                  page)
    page = html.unescape(re.sub(r"<[^>]*>", "", page))
    return [line for line in (re.sub(r"\s+", " ", part).strip()
                              for part in page.split("\n")) if line]


def open_bytes(path):
    with open(path, "rb") as data:
        return data.read()


def replace(path, data):
    """As `apply` does it: a new file under the old name."""
    mode = os.stat(path).st_mode & 0o777
    with open(path + ".new", "wb") as out:
        out.write(data)
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)
