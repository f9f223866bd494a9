"""The story, a function per step; its docstring is the headline.

A new step is a new function in STORY: the number on the screen is its place.
"""

import html
import os
import re
import struct
import time

import stage
from play import VPN_LINE, studies_found


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


STORY = (search, view, unknown, closed, no_certificate, other_certificate,
         vpn, download, watched, explain, change, home, broken_text,
         broken_image)


# ---- What several steps use -------------------------------------------------

ALLOWED = ("allowed", "denied", "error")
SAME = ("no difference", "different", "error")
DONE = ("done", "not done", "error")


def archive(play):
    return "/studies/%s/archive" % play.study("CT")["orthanc"]


def zip_size(answer):
    return "a ZIP archive of %s bytes" % format(len(answer.body), ",")


def command(play, meaning, *arguments):
    """Runs and shows a sekisho command as an administrator would type it;
    `meaning` is that of its exit status 0, 1 and 2."""
    shown = [re.sub("^%s/" % re.escape(play.folder), "", word)
             for word in arguments]
    shown = ["'%s'" % word if " " in word else word for word in shown]
    play.screen.field("$", "sekisho " + " ".join(shown), "bold")
    status, output, errors = stage.sekisho(*arguments)
    text = (output + errors).replace(play.folder + "/", "")
    text = re.sub(r"(sha256:[0-9a-f]{8})[0-9a-f]{48}([0-9a-f]{8})", r"\1…\2",
                  text)
    if text.strip():
        play.screen.quote(text)
    play.screen.field("exit", "%d, %s" % (status, meaning[status]))
    return status, output, errors


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
