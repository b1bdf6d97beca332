/** The samples: photos whose owners agreed, each with its credit. */
import type { GalleryEntry } from "./manifest";
import { element, made } from "./page";

export function offerSamples(entries: readonly GalleryEntry[], take: (entry: GalleryEntry) => void): void {
  element("gallery", HTMLElement).replaceChildren(
    ...entries.map((entry) => {
      const place = made("li");
      const control = made("button");
      control.dataset.sample = entry.name;
      const picture = made("img");
      picture.src = entry.file;
      picture.alt = `Read the sample: ${entry.shows}`;
      picture.loading = "lazy";
      control.title = `${entry.shows}. Photo: ${entry.credit}`;
      control.append(picture);
      control.addEventListener("click", () => {
        take(entry);
      });
      place.append(control);
      return place;
    }),
  );
  const credits = [...new Set(entries.map(({ credit }) => credit))];
  element("credits", HTMLElement).textContent = `Samples: ${credits.join("; ")}.`;
}
