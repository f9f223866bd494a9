#!/usr/bin/env python3
"""Makes a few DICOM studies with dcmtk, for the demonstration and the tests.

    make_dicom.py FOLDER [--slices N]

Pictures are drawn here, names are made up, identifiers are derived from the
names, so the same call gives the same studies on every machine: nothing in
them ever belonged to a patient.  Prints (and writes to FOLDER/studies.json)
what it made:

    [{"study": UID, "patient": {"id", "name"}, "description", "modality",
      "series": [{"series": UID, "instances": [{"instance": UID,
                                                 "file": PATH}]}]}]
"""

import argparse
import array
import concurrent.futures
import json
import math
import os
import struct
import subprocess
import sys
import uuid

SIZE = 256
NAMESPACE = uuid.UUID("5ec15480-0000-4000-8000-000000000000")

# Hounsfield units.
AIR, LUNG, FAT, SOFT, BLOOD, BONE = -1000, -820, -90, 40, 150, 700

STUDIES = (
    # key, patient id, name (with its Japanese form), sex, modality,
    # description, date, slices (None: as asked)
    ("hanako-ct", "DEMO-0001", "DEMO^HANAKO=デモ^花子", "F", "CT",
     "Chest", "20260406", None),
    ("taro-mr", "DEMO-0002", "DEMO^TARO=デモ^太郎", "M", "MR",
     "Head", "20260407", 4),
    ("jiro-oct", "DEMO-0003", "DEMO^JIRO=デモ^次郎", "M", "OT",
     "Photograph of the finding", "20260408", 1),
)

SOP_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
}


def uid(*path):
    """A UID under 2.25 (PS3.5 B.2) that depends on the path alone."""
    return "2.25.%d" % uuid.uuid5(NAMESPACE, "/".join(map(str, path))).int


def fill(rows, center_x, center_y, radius_x, radius_y, value):
    """Paints an ellipse, in fractions of the picture, row by row."""
    for y in range(SIZE):
        height = (y / SIZE - center_y) / radius_y
        if abs(height) >= 1:
            continue
        half = radius_x * math.sqrt(1 - height * height)
        left = max(0, round((center_x - half) * SIZE))
        right = min(SIZE, round((center_x + half) * SIZE))
        if right > left:
            rows[y][left:right] = array.array("h", [value]) * (right - left)


def chest(position):
    """A slice of a chest; position 0 is at the neck, 1 at the diaphragm."""
    rows = [array.array("h", [AIR]) * SIZE for _ in range(SIZE)]
    width = 0.38 + 0.06 * math.sin(math.pi * position)
    fill(rows, 0.5, 0.52, width, 0.32, FAT)
    fill(rows, 0.5, 0.52, width - 0.03, 0.29, SOFT)
    lung = 0.06 + 0.09 * math.sin(math.pi * min(1, position + 0.15))
    for side in (-1, 1):
        fill(rows, 0.5 + side * 0.2, 0.5, lung, lung * 1.55, LUNG)
        for rib in range(5):
            angle = math.pi * (0.15 + 0.17 * rib)
            fill(rows, 0.5 + side * (width - 0.045) * math.sin(angle),
                 0.52 - 0.275 * math.cos(angle), 0.014, 0.018, BONE)
    fill(rows, 0.53, 0.47, 0.07 + 0.05 * position, 0.10, BLOOD)
    fill(rows, 0.5, 0.70, 0.045, 0.05, BONE)
    fill(rows, 0.5, 0.77, 0.015, 0.045, BONE)
    nodule = 0.03 - abs(position - 0.5) * 0.12
    if nodule > 0:
        fill(rows, 0.31, 0.44, nodule, nodule, SOFT + 20)
    return rows


def head(position):
    rows = [array.array("h", [0]) * SIZE for _ in range(SIZE)]
    scale = 0.75 + 0.25 * math.sin(math.pi * (0.2 + 0.6 * position))
    fill(rows, 0.5, 0.5, 0.36 * scale, 0.44 * scale, 320)
    fill(rows, 0.5, 0.5, 0.34 * scale, 0.42 * scale, 60)
    fill(rows, 0.5, 0.5, 0.31 * scale, 0.39 * scale, 520)
    for side in (-1, 1):
        fill(rows, 0.5 + side * 0.15 * scale, 0.5, 0.12 * scale,
             0.28 * scale, 640)
        fill(rows, 0.5 + side * 0.05 * scale, 0.47, 0.03 * scale,
             0.13 * scale, 120)
    return rows


def pixels(rows):
    joined = array.array("h")
    for row in rows:
        joined.extend(row)
    if sys.byteorder == "big":
        joined.byteswap()
    return joined.tobytes()


def bitmap(path):
    """A colour picture of 24 bits for img2dcm."""
    rows = []
    for y in range(SIZE - 1, -1, -1):
        row = bytearray()
        for x in range(SIZE):
            distance = math.hypot(x - SIZE / 2, y - SIZE / 2) / (SIZE / 2)
            shade = max(0.0, 1 - 0.55 * distance)
            red = 224 * shade
            if math.hypot(x - 150, y - 118) < 26:
                red *= 0.62
            row += bytes((int(red * 0.62), int(red * 0.74), int(red)))
        rows.append(bytes(row))
    data = b"".join(rows)
    with open(path, "wb") as out:
        out.write(struct.pack("<2sIHHI", b"BM", 54 + len(data), 0, 0, 54))
        out.write(struct.pack("<IiiHHIIiiII", 40, SIZE, SIZE, 1, 24, 0,
                              len(data), 2835, 2835, 0, 0))
        out.write(data)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit("%s failed:\n%s" % (command[0], done.stdout))


def slice_file(folder, key, patient, name, sex, modality, description, date,
               number, count):
    """One slice of 16 bits by dump2dcm; its file and SOP instance UID."""
    base = os.path.join(folder, "%s-%02d" % (key, number))
    position = (number - 0.5) / count
    with open(base + ".raw", "wb") as out:
        out.write(pixels(chest(position) if modality == "CT"
                         else head(position)))
    instance = uid(key, "instance", number)
    window = (40, 1600) if modality == "CT" else (350, 750)
    tags = [
        ("0008,0005", "CS", "ISO_IR 192"),
        ("0008,0008", "CS", r"ORIGINAL\PRIMARY\AXIAL"),
        ("0008,0016", "UI", SOP_CLASSES[modality]),
        ("0008,0018", "UI", instance),
        ("0008,0020", "DA", date),
        ("0008,0021", "DA", date),
        ("0008,0030", "TM", "091500"),
        ("0008,0050", "SH", "A" + date),
        ("0008,0060", "CS", modality),
        ("0008,0070", "LO", "Sekisho demonstration"),
        ("0008,0090", "PN", ""),
        ("0008,1030", "LO", description),
        ("0008,103e", "LO", "Axial"),
        ("0010,0010", "PN", name),
        ("0010,0020", "LO", patient),
        ("0010,0030", "DA", "19700101"),
        ("0010,0040", "CS", sex),
        ("0018,0050", "DS", "5"),
        ("0020,000d", "UI", uid(key, "study")),
        ("0020,000e", "UI", uid(key, "series")),
        ("0020,0010", "SH", key),
        ("0020,0011", "IS", "1"),
        ("0020,0013", "IS", str(number)),
        ("0020,0032", "DS", r"-128\-128\%d" % (number * 5)),
        ("0020,0037", "DS", r"1\0\0\0\1\0"),
        ("0020,0052", "UI", uid(key, "frame")),
        ("0028,0002", "US", "1"),
        ("0028,0004", "CS", "MONOCHROME2"),
        ("0028,0010", "US", str(SIZE)),
        ("0028,0011", "US", str(SIZE)),
        ("0028,0030", "DS", r"1\1"),
        ("0028,0100", "US", "16"),
        ("0028,0101", "US", "16"),
        ("0028,0102", "US", "15"),
        ("0028,0103", "US", "1"),
        ("0028,1050", "DS", str(window[0])),
        ("0028,1051", "DS", str(window[1])),
        ("0028,1052", "DS", "0"),
        ("0028,1053", "DS", "1"),
    ]
    with open(base + ".dump", "w", encoding="utf-8") as out:
        for tag, kind, value in tags:
            # US values stand bare, everything else in brackets.
            text = value if kind == "US" else "[%s]" % value
            out.write("(%s) %s %s\n" % (tag, kind, text))
        out.write("(7fe0,0010) OW =%s.raw\n" % base)
    run("dump2dcm", base + ".dump", base + ".dcm")
    os.unlink(base + ".dump")
    os.unlink(base + ".raw")
    return {"instance": instance, "file": base + ".dcm"}


def picture_file(folder, key, patient, name, sex, description, date):
    """A colour picture by img2dcm (secondary capture)."""
    base = os.path.join(folder, key)
    bitmap(base + ".bmp")
    instance = uid(key, "instance", 1)
    keys = {
        "SpecificCharacterSet": "ISO_IR 192", "PatientName": name,
        "PatientID": patient, "PatientSex": sex, "PatientBirthDate": "19700101",
        "StudyInstanceUID": uid(key, "study"),
        "SeriesInstanceUID": uid(key, "series"), "SOPInstanceUID": instance,
        "StudyDate": date, "StudyTime": "091500", "StudyID": key[:16],
        "StudyDescription": description, "AccessionNumber": "A" + date,
        "SeriesNumber": "1", "InstanceNumber": "1", "Modality": "OT",
    }
    arguments = []
    for keyword, value in keys.items():
        arguments += ["-k", "%s=%s" % (keyword, value)]
    run("img2dcm", "-i", "BMP", *arguments, base + ".bmp", base + ".dcm")
    os.unlink(base + ".bmp")
    return {"instance": instance, "file": base + ".dcm"}


def make(folder, slices=20):
    """Makes the studies in `folder`; returns the list described above."""
    os.makedirs(folder, exist_ok=True)
    made = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for (key, patient, name, sex, modality, description, date,
             count) in STUDIES:
            count = count or slices
            if modality in SOP_CLASSES:
                files = [pool.submit(slice_file, folder, key, patient, name,
                                     sex, modality, description, date, number,
                                     count)
                         for number in range(1, count + 1)]
            else:
                files = [pool.submit(picture_file, folder, key, patient, name,
                                     sex, description, date)]
            made.append((key, patient, name, modality, description, files))
        studies = [{
            "study": uid(key, "study"),
            "patient": {"id": patient, "name": name},
            "description": description,
            "modality": modality,
            "series": [{
                "series": uid(key, "series"),
                "instances": [file.result() for file in files],
            }],
        } for key, patient, name, modality, description, files in made]
    with open(os.path.join(folder, "studies.json"), "w",
              encoding="utf-8") as out:
        json.dump(studies, out, ensure_ascii=False, indent=1)
        out.write("\n")
    return studies


def main():
    parser = argparse.ArgumentParser(description="Makes DICOM studies.")
    parser.add_argument("folder")
    parser.add_argument("--slices", type=int, default=20,
                        help="of the CT study (default 20)")
    arguments = parser.parse_args()
    studies = make(arguments.folder, arguments.slices)
    print(json.dumps(studies, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
