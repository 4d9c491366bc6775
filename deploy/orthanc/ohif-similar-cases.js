// For OHIF 3: a part of its configuration (app-config.js). The word in the corner of the viewer opens the study that is on the
// screen in ICBIR, under the same parameter that OHIF itself uses.
window.config = {
  ...window.config,
  whiteLabeling: {
    createLogoComponentFn: function (React) {
      return React.createElement(
        'a',
        {
          href: '#',
          title: 'For research, not for diagnosis',
          style: { color: '#ffd479' },
          onClick: function (event) {
            event.preventDefault();
            event.stopPropagation(); // around the word OHIF has its way back to the list of studies
            const study = new URLSearchParams(window.location.search).get('StudyInstanceUIDs');
            if (study) {
              window.open('http://127.0.0.1:8501/search?StudyInstanceUIDs=' + encodeURIComponent(study), '_blank', 'noopener');
            }
          },
        },
        'Similar cases'
      );
    },
  },
};
